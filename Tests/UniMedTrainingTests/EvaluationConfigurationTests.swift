import Foundation
import Testing
import UniMedData
import UniMedModel
import UniMedTraining

@Suite("Evaluation configuration")
struct EvaluationConfigurationTests {
    private func decode(_ json: String) throws -> EvaluationConfiguration {
        try JSONDecoder().decode(EvaluationConfiguration.self, from: Data(json.utf8))
    }

    @Test func `how answers are generated reads back as written`() throws {
        #expect(try decode("{}").generation == GenerationOptions())
        let beams = try decode(#"{"generation": {"beamCount": 4, "lengthPenalty": 2}}"#)
        #expect(beams.generation == GenerationOptions(beamCount: 4, lengthPenalty: 2))
        let long = try decode(#"{"generation": {"maximumNewTokens": 50, "temperature": 0.7, "topP": 0.9}}"#)
        let short = try decode(#"{"maximumNewTokens": {"rec": 30}, "generation": {"constrained": true}}"#)
        #expect(short.maximumNewTokens[.referringExpressionComprehension] == 30)
        for configuration in [beams, long, short] {
            let text = String(decoding: try JSONEncoder().encode(configuration), as: UTF8.self)
            #expect(try decode(text) == configuration)
        }
    }

    @Test(arguments: [
        (#"{"generation": {"topP": 2, "temperature": 1}}"#, "generation.topP"),
        (#"{"generation": {"beams": 2}}"#, "generation.beams"),
        (#"{"generation": {"maximumNewTokens": 50}, "maximumNewTokens": {"rec": 30}}"#, "generation"),
    ])
    func `contradictions and unknown keys are refused by name`(json: String, field: String) throws {
        let error = try #require(throws: DecodingError.self) { try decode(json) }
        guard case .dataCorrupted(let context) = error else {
            Issue.record("\(error)")
            return
        }
        #expect(context.codingPath.map(\.stringValue).joined(separator: ".") == field)
    }
}
