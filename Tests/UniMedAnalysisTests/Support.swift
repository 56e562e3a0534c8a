import Foundation
import Testing
import Torch
import TorchCheckpoints
import UniMedAnalysis
import UniMedTesting

/// The reference numbers of the analysis below `eval` of the golden folder.
enum Golden {
    static func file(_ path: String) -> URL { Roots.golden.appending(path: "eval/" + path) }

    /// Whether a file is there; tests of files that are not are shown as skipped.
    static func has(_ path: String) -> Bool { Roots.exists(file(path)) }

    static func decode<Value: Decodable>(_ type: Value.Type, from path: String) throws -> Value {
        try JSONDecoder().decode(type, from: Data(contentsOf: file(path)))
    }

    static func tensors(_ path: String) throws -> [String: Tensor] {
        try SafetensorsFile(contentsOf: file(path)).tensors()
    }
}

/// Compares tables of numbers; records the worst deviation where one is too large.
func expectClose(
    _ actual: [[Double]]?,
    _ expected: [[Double]],
    within tolerance: Double = 1e-9,
    _ name: String,
    sourceLocation: SourceLocation = #_sourceLocation
) {
    guard let actual, actual.map(\.count) == expected.map(\.count) else {
        Issue.record("\(name): \(String(describing: actual)) has another shape", sourceLocation: sourceLocation)
        return
    }
    let worst = zip(actual.joined(), expected.joined()).map { abs($0 - $1) }
    let largest = worst.contains { $0.isNaN } ? .infinity : worst.max() ?? 0
    #expect(largest <= tolerance, "\(name) is off by \(largest)", sourceLocation: sourceLocation)
}

/// Gradients that are given as rows: one parameter.
struct GivenGradients: GradientSource {
    let tasks: [String]
    let parameters: [Tensor]
    /// `[batches, parameters]` of each task.
    let gradients: [Tensor]

    init(_ gradients: [Tensor]) throws {
        self.gradients = gradients
        tasks = gradients.indices.map { "task \($0)" }
        parameters = [try Tensor.zeros([gradients[0].size(1)], dtype: gradients[0].dtype)]
    }

    init(_ rows: [[[Double]]]) throws {
        try self.init(rows.map { try Tensor(Array($0.joined()), shape: [$0.count, $0[0].count]) })
    }

    var set: ParameterSet { ParameterSet(name: "all", pieces: [.init(parameter: 0)]) }

    func batchCount(ofTask task: Int) -> Int { gradients[task].size(0) }

    func gradients(task: Int, batch: Int) throws(AnalysisError) -> [Tensor?] {
        do { return [try gradients[task].select(0, batch)] } catch { throw AnalysisError(error) }
    }

    func loss(task: Int, batch: Int) throws(AnalysisError) -> Double {
        throw AnalysisError(.request, "there are no losses")
    }
}
