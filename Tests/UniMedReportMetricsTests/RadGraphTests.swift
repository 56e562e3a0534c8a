import Foundation
import Testing
import UniMedReportMetrics

@Suite("RadGraph")
struct RadGraphTests {
    private struct Expected: Decodable {
        struct Texts: Decodable {
            var texts: [String]
            var words: [[String]]
        }
        struct Annotations: Decodable {
            var texts: [String]
            var words: [[String]]
            var annotations: [[String: Entity]]
        }
        struct Entity: Decodable {
            var tokens: String
            var label: String
            var start_ix: Int
            var end_ix: Int
            var relations: [[String]]
        }
        struct Numbers: Decodable {
            var radgraph: Annotations
            var xl: Texts
            var rewards: [[Double]]

            enum CodingKeys: String, CodingKey {
                case radgraph, rewards
                case xl = "radgraph-xl"
            }
        }
        var radgraph: Numbers
    }

    private func numbers() throws -> Expected.Numbers {
        try Fixture.read("expected.json", as: Expected.self).radgraph
    }

    /// The tool numbers entities from 1.
    private func annotation(_ entities: [String: Expected.Entity]) throws -> RadGraphAnnotation {
        try RadGraphAnnotation(
            entities: (0..<entities.count).map { index in
                let entity = try #require(entities["\(index + 1)"])
                return RadGraphAnnotation.Entity(
                    tokens: entity.tokens,
                    label: entity.label,
                    start: entity.start_ix,
                    end: entity.end_ix,
                    relations: try entity.relations.map {
                        RadGraphAnnotation.Relation(label: $0[0], target: try #require(Int($0[1])) - 1)
                    }
                )
            }
        )
    }

    private func model() throws -> RadGraphModel {
        try RadGraphModel(
            archive: Fixture.folder.appending(path: "radgraph.tar.gz"),
            encoder: Fixture.folder.appending(path: "bert")
        )
    }

    @Test func `reports are split into the words of the public tool`() throws {
        let numbers = try numbers()
        for (text, words) in zip(numbers.radgraph.texts, numbers.radgraph.words) {
            #expect(RadGraphWords.radGraph.words(of: text) == words, "\(text)")
        }
        for (text, words) in zip(numbers.xl.texts, numbers.xl.words) {
            #expect(RadGraphWords.radGraphXL.words(of: text) == words, "\(text)")
        }
    }

    @Test func `entities and relations equal those of the public model, also of a report in parts`() throws {
        let expected = try numbers().radgraph
        // The archive lets 30 pieces go through the encoder together.
        #expect(expected.words.contains { $0.count > 40 })
        let found = try model().annotations(of: expected.texts)
        for (index, entities) in expected.annotations.enumerated() {
            #expect(found[index] == (try annotation(entities)), "report \(index)")
        }
        #expect(found.contains { $0.entities.contains { !$0.relations.isEmpty } })
    }

    @Test func `an unpacked archive is the same model, and an empty report has no entities`() throws {
        let texts = Array(try numbers().radgraph.texts.prefix(3)) + [" "]
        let packed = try model().annotations(of: texts)
        #expect(packed.last == .empty)
        try Fixture.withTemporaryFolder { folder in
            let tar = Process()
            tar.executableURL = URL(filePath: "/usr/bin/env")
            tar.arguments = [
                "tar", "-xzf", Fixture.folder.appending(path: "radgraph.tar.gz").path, "-C", folder.path,
            ]
            try tar.run()
            tar.waitUntilExit()
            try #require(tar.terminationStatus == 0)
            let unpacked = try RadGraphModel(archive: folder, encoder: Fixture.folder.appending(path: "bert"))
            #expect(try unpacked.annotations(of: texts) == packed)
        }
    }

    @Test func `F1 straight from annotation files equals the public tools'`() throws {
        let annotations = try RadGraphAnnotation.read(Fixture.folder.appending(path: "radgraph.annotations.json"))
        let numbers = try numbers()
        #expect(annotations.count == numbers.radgraph.texts.count)
        #expect(numbers.rewards.count == 10)
        for row in numbers.rewards {
            let prediction = try #require(annotations["report\(Int(row[0]))"])
            let reference = try #require(annotations["report\(Int(row[1]))"])
            let score = RadGraphF1(prediction: prediction, reference: reference)
            let values = [score.simple, score.partial, score.complete, score.entity, score.relation]
            for (value, expected) in zip(values, row.dropFirst(2)) { #expect(abs(value - expected) < 1e-12) }
            #expect(score.combined == (score.entity + score.relation) / 2)
        }
    }

    @Test func `a pair of reports scores as its annotations do`() throws {
        let texts = try numbers().radgraph.texts
        let model = try model()
        let pairs = [
            ReportPair(prediction: texts[0], reference: texts[12]), ReportPair(prediction: "", reference: texts[0]),
        ]
        let annotations = try model.annotations(of: [texts[0], texts[12]])
        let scores = try model.scores(of: pairs)
        #expect(scores[0] == RadGraphF1(prediction: annotations[0], reference: annotations[1]))
        #expect(scores[1] == .zero)
    }

    @Test func `words of entities with relations are compared without regard to case`() throws {
        func annotation(_ opacity: String, _ lobe: String) throws -> RadGraphAnnotation {
            try RadGraphAnnotation(entities: [
                .init(
                    tokens: opacity,
                    label: "OBS-DP",
                    start: 0,
                    end: 0,
                    relations: [.init(label: "located_at", target: 1)]
                ),
                .init(tokens: lobe, label: "ANAT-DP", start: 1, end: 1),
            ])
        }
        let score = try RadGraphF1(prediction: annotation("Opacity", "lobe"), reference: annotation("opacity", "lobe"))
        #expect(score.entity == 0.5)
        #expect(score.relation == 0)
        #expect(score.combined == 0.25)
        #expect(score.partial == 0.5)
        #expect(score.complete == 1)
    }

    @Test func `a study scores as the best of its images, and reports without a prediction are named`() throws {
        let good = try RadGraphAnnotation(entities: [.init(tokens: "clear", label: "OBS-DP", start: 0, end: 0)])
        let result = RadGraphF1.scores(
            predictions: ["a_7": .empty, "b_7": good],
            references: ["a_7": good, "b_7": good, "c_8": good]
        )
        #expect(result.scores["7"]?.entity == 1)
        #expect(result.scores["8"] == .zero)
        #expect(result.missing == ["c_8"])
    }

    @Test func `damaged annotations and archives are refused`() throws {
        #expect(throws: ReportMetricError.self) {
            _ = try RadGraphAnnotation(entities: [
                .init(tokens: "a", label: "b", start: 0, end: 0, relations: [.init(label: "modify", target: 1)])
            ])
        }
        try Fixture.withTemporaryFolder { folder in
            let annotations = folder.appending(path: "annotations.json")
            let text = #"{"r": {"entities": {"1": {"tokens": "a", "label": "b", "relations": [["modify", "2"]]}}}}"#
            try Data(text.utf8).write(to: annotations)
            let error = try #require(throws: ReportMetricError.self) { _ = try RadGraphAnnotation.read(annotations) }
            #expect(error.kind == .malformed)
            let labeler = try #require(throws: ReportMetricError.self) {
                _ = try RadGraphAnnotation.read(annotations, labeler: "labeler_1")
            }
            #expect(labeler.description.contains("labeler_1"))

            let whole = try Data(contentsOf: Fixture.folder.appending(path: "radgraph.tar.gz"))
            let cut = folder.appending(path: "cut.tar.gz")
            for count in [0, 10, 1000, whole.count / 2] {
                try whole.prefix(count).write(to: cut)
                #expect(throws: ReportMetricError.self) {
                    _ = try RadGraphModel(archive: cut, encoder: Fixture.folder.appending(path: "bert"))
                }
            }
        }
    }
}
