public import Foundation

/// The entities of a report and how they are related (RadGraph, Jain et al., 2021).
public struct RadGraphAnnotation: Sendable, Equatable {
    /// A phrase of the report.
    public struct Entity: Sendable, Equatable {
        /// The words, between single spaces.
        public var tokens: String
        /// What it is, such as `ANAT-DP` or `OBS-DA`.
        public var label: String
        /// The place of the first word in the report.
        public var start: Int
        /// The place of the last word.
        public var end: Int
        /// What the entity is to others.
        public var relations: [Relation]

        /// Makes an entity.
        public init(tokens: String, label: String, start: Int, end: Int, relations: [Relation] = []) {
            self.tokens = tokens
            self.label = label
            self.start = start
            self.end = end
            self.relations = relations
        }
    }

    /// What an entity is to another.
    public struct Relation: Sendable, Equatable {
        /// Such as `modify`, `located_at` or `suggestive_of`.
        public var label: String
        /// The place of the other entity in ``RadGraphAnnotation/entities``.
        public var target: Int

        /// Makes a relation.
        public init(label: String, target: Int) {
            self.label = label
            self.target = target
        }
    }

    /// The entities.
    public private(set) var entities: [Entity]

    /// Makes an annotation.
    ///
    /// - Throws: ``ReportMetricError`` of kind `malformed` when a relation leads to no entity.
    public init(entities: [Entity]) throws(ReportMetricError) {
        for entity in entities {
            guard entity.relations.allSatisfy({ entities.indices.contains($0.target) }) else {
                throw ReportMetricError(.malformed, "a relation to an entity that is not there")
            }
        }
        self.entities = entities
    }

    /// Without entities.
    public static let empty = RadGraphAnnotation(checked: [])

    /// Makes an annotation whose relations are known to lead to entities.
    init(checked entities: [Entity]) { self.entities = entities }

    // MARK: Files

    private struct FileEntity: Decodable {
        var tokens: String
        var label: String
        var start: Int?
        var end: Int?
        var relations: [[String]]

        enum CodingKeys: String, CodingKey {
            case tokens, label, relations
            case start = "start_ix"
            case end = "end_ix"
        }
    }

    /// A report of a file; the published test set has one annotation of each of two radiologists.
    private struct FileReport: Decodable {
        var entities: [String: FileEntity]?
        var labelers: [String: [String: FileEntity]] = [:]

        struct Key: CodingKey {
            var stringValue: String
            var intValue: Int? { nil }
            init(stringValue: String) { self.stringValue = stringValue }
            init?(intValue: Int) { nil }
        }

        init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: Key.self)
            entities = try container.decodeIfPresent(
                [String: FileEntity].self,
                forKey: Key(stringValue: "entities")
            )
            for key in container.allKeys where key.stringValue.hasPrefix("labeler_") {
                let inner = try container.nestedContainer(keyedBy: Key.self, forKey: key)
                labelers[key.stringValue] = try inner.decode(
                    [String: FileEntity].self,
                    forKey: Key(stringValue: "entities")
                )
            }
        }
    }

    /// Reads a file of annotations as RadGraph publishes them: an object of reports by name, each with its `entities`.
    ///
    /// - Parameters:
    ///   - file: A JSON file, such as `MIMIC-CXR_graphs.json`, `train.json` or what a program of RadGraph wrote.
    ///   - labeler: Whose annotation is read where there are several, such as `labeler_1` in the published `test.json`.
    /// - Returns: The annotations by the reports' names.
    /// - Throws: ``ReportMetricError`` of kind `unreadable` or `malformed`; no text of a report is in the message.
    public static func read(
        _ file: URL,
        labeler: String? = nil
    ) throws(ReportMetricError) -> [String: RadGraphAnnotation] {
        let reports: [String: FileReport]
        do {
            reports = try JSONDecoder().decode([String: FileReport].self, from: Data(contentsOf: file))
        } catch let error as DecodingError {
            throw ReportMetricError(.malformed, file: file.path, "not annotations of RadGraph: \(error.place)")
        } catch {
            throw ReportMetricError(.unreadable, file: file.path, error.localizedDescription)
        }
        var annotations: [String: RadGraphAnnotation] = [:]
        for (name, report) in reports {
            guard let entities = labeler.map({ report.labelers[$0] }) ?? report.entities else {
                let expected = labeler ?? "entities"
                throw ReportMetricError(.malformed, file: file.path, "report '\(name)' has no '\(expected)'")
            }
            annotations[name] = try annotation(entities, report: name, file: file)
        }
        return annotations
    }

    private static func annotation(
        _ entities: [String: FileEntity],
        report: String,
        file: URL
    ) throws(ReportMetricError) -> RadGraphAnnotation {
        // Entities are numbered; their order in the file is of no meaning.
        let names = entities.keys.sorted { (Int($0) ?? .max, $0) < (Int($1) ?? .max, $1) }
        let places = Dictionary(uniqueKeysWithValues: names.enumerated().map { ($1, $0) })
        var result: [Entity] = []
        for name in names {
            guard let entity = entities[name] else { continue }
            var relations: [Relation] = []
            for relation in entity.relations {
                guard relation.count == 2, let target = places[relation[1]] else {
                    throw ReportMetricError(
                        .malformed,
                        file: file.path,
                        "report '\(report)', entity '\(name)': a relation is no pair of a label and an entity's number"
                    )
                }
                relations.append(Relation(label: relation[0], target: target))
            }
            result.append(
                Entity(
                    tokens: entity.tokens,
                    label: entity.label,
                    start: entity.start ?? 0,
                    end: entity.end ?? 0,
                    relations: relations
                )
            )
        }
        return RadGraphAnnotation(checked: result)
    }
}
