import UniMedMetrics

/// How well the entities and relations of two reports agree.
///
/// ``entity``, ``relation`` and ``combined`` are those of Yu et al., "Evaluating progress in automatic chest X-ray
/// radiology report generation" (2023), which RadCliQ uses. ``simple``, ``partial`` and ``complete`` are the reward levels
/// of the radgraph package (Delbrouck et al., 2022).
public struct RadGraphF1: Sendable, Equatable, Codable {
    /// The F1 of entities, each a pair of words and label.
    public var entity: Double
    /// The F1 of relations, each two entities and a label.
    public var relation: Double
    /// The mean of both: "RadGraph F1".
    public var combined: Double { (entity + relation) / 2 }
    /// The F1 of entities; 0 when either report has none.
    public var simple: Double
    /// The F1 of entities with whether they have relations; 0 when either report has none.
    public var partial: Double
    /// The F1 of entities with all of their relations; 0 when either report has none.
    ///
    /// The words of entities with relations are put into lower case, those of others are not, as in the package.
    public var complete: Double

    /// Compares two annotations.
    public init(prediction: RadGraphAnnotation, reference: RadGraphAnnotation) {
        func f1(_ facts: (RadGraphAnnotation) -> Set<Fact>) -> Double {
            RadGraphF1.f1(facts(prediction), facts(reference))
        }
        entity = f1(\.entityFacts)
        relation = f1(\.relationFacts)
        simple = entity
        partial = f1(\.partialFacts)
        complete = f1(\.completeFacts)
    }

    private init(entity: Double, relation: Double, simple: Double, partial: Double, complete: Double) {
        self.entity = entity
        self.relation = relation
        self.simple = simple
        self.partial = partial
        self.complete = complete
    }

    /// Nothing agrees.
    public static let zero = RadGraphF1(entity: 0, relation: 0, simple: 0, partial: 0, complete: 0)

    private static func f1(_ prediction: Set<Fact>, _ reference: Set<Fact>) -> Double {
        let common = Double(prediction.intersection(reference).count)
        guard common > 0 else { return 0 }
        let precision = common / Double(prediction.count)
        let recall = common / Double(reference.count)
        return 2 * precision * recall / (precision + recall)
    }

    /// The figures of every report of a reference, and which of them have no prediction.
    ///
    /// A name of the form `image_study` stands for one image of a study: the study's figures are each the best of its
    /// images, as in the published evaluation. A report without a prediction scores 0.
    ///
    /// - Returns: The figures by study, and the names of the references without a prediction.
    public static func scores(
        predictions: [String: RadGraphAnnotation],
        references: [String: RadGraphAnnotation]
    ) -> (scores: [String: RadGraphF1], missing: [String]) {
        var scores: [String: RadGraphF1] = [:]
        var missing: [String] = []
        for (name, reference) in references {
            let parts = name.split(separator: "_", omittingEmptySubsequences: false)
            let study = parts.count == 2 ? String(parts[1]) : name
            var score = RadGraphF1.zero
            if let prediction = predictions[name] {
                score = RadGraphF1(prediction: prediction, reference: reference)
            } else {
                missing.append(name)
            }
            if let known = scores[study] {
                score = RadGraphF1(
                    entity: max(known.entity, score.entity),
                    relation: max(known.relation, score.relation),
                    simple: max(known.simple, score.simple),
                    partial: max(known.partial, score.partial),
                    complete: max(known.complete, score.complete)
                )
            }
            scores[study] = score
        }
        return (scores, missing.sorted())
    }
}

/// Texts that are compared together, by code points.
private struct Fact: Hashable {
    private var bytes: [UInt8] = []

    init(_ parts: String...) {
        for part in parts {
            bytes += Array(part.utf8)
            // No text has this byte.
            bytes.append(0xFF)
        }
    }
}

extension RadGraphAnnotation {
    fileprivate var entityFacts: Set<Fact> { Set(entities.map { Fact($0.tokens, $0.label) }) }

    fileprivate var relationFacts: Set<Fact> {
        Set(
            entities.flatMap { entity in
                entity.relations.map { relation in
                    let target = entities[relation.target]
                    return Fact(entity.tokens, entity.label, target.tokens, target.label, relation.label)
                }
            }
        )
    }

    fileprivate var partialFacts: Set<Fact> {
        Set(
            entities.map {
                $0.relations.isEmpty ? Fact($0.tokens, $0.label) : Fact($0.tokens, $0.label, "with relations")
            }
        )
    }

    fileprivate var completeFacts: Set<Fact> {
        Set(
            entities.flatMap { entity in
                entity.relations.isEmpty
                    ? [Fact(entity.tokens, entity.label)]
                    : entity.relations.map { relation in
                        Fact(
                            entity.tokens.referenceLowercased,
                            entity.label,
                            relation.label,
                            entities[relation.target].tokens.referenceLowercased
                        )
                    }
            }
        )
    }
}
