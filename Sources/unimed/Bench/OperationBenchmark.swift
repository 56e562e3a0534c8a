import Foundation
import Torch

/// What a small tensor operation costs, beside Python's.
struct OperationBenchmark {
    let peer: PeerProcess?
    private let rounds = 11
    private let repeats = 20_000

    private struct Request: Encodable {
        let command = "operation"
        let name: String
        let repeats: Int
    }
    private struct Timing: Decodable { let seconds: Double }

    /// Times both sides in turns; the first round warms up and is not counted.
    func run(_ progress: ProgressPrinter) throws -> [BenchmarkResult] {
        let operations = try operations()
        var ours = [[Double]](repeating: [], count: operations.count)
        var theirs = [[Double]](repeating: [], count: operations.count)
        for round in 0...rounds {
            for (index, operation) in operations.enumerated() {
                let own = try time(operation.body)
                let other = try peer.map {
                    try $0.request(Request(name: operation.name, repeats: repeats), Timing.self).seconds
                }
                guard round > 0 else { continue }
                ours[index].append(own / Double(repeats) * 1e9)
                if let other { theirs[index].append(other / Double(repeats) * 1e9) }
            }
            progress.show("small operations", round, of: rounds, unit: "rounds")
        }
        progress.finish()
        return operations.indices.map { index in
            BenchmarkResult(
                operations[index].name,
                unit: "ns",
                ours: ours[index],
                peer: peer == nil ? nil : theirs[index],
                goal: .cost(atMost: 0.9)
            )
        }
    }

    private func operations() throws -> [(name: String, body: () throws -> Void)] {
        let (a, b) = (try Tensor.ones([16]), try Tensor.ones([16]))
        let (m, n) = (try Tensor.ones([4, 4]), try Tensor.ones([4, 4]))
        return [
            ("add", { _ = try a + b }),
            ("multiply by a number", { _ = try a * 1.5 }),
            ("reshape", { _ = try a.reshape(4, 4) }),
            ("matrix product 4x4", { _ = try m.matmul(n) }),
        ]
    }

    private func time(_ body: () throws -> Void) throws -> Double {
        try withoutGradients {
            let start = ContinuousClock.now
            for _ in 0..<repeats { try body() }
            return (ContinuousClock.now - start) / .seconds(1)
        }
    }
}
