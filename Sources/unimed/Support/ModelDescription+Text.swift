import Foundation
import Torch
import UniMedEvaluation

extension ModelDescription {
    /// The description as tables of plain text.
    var text: String {
        var lines = ["\(count(parameterCount)) weights, \(count(trainedCount)) of them trained", ""]
        lines += table(
            [["part", "weights", "trained", "frozen", "float32", "bfloat16"]]
                + parts.map {
                    [
                        $0.name, count($0.parameters), count($0.trained), count($0.frozen), bytes($0.bytes(.float32)),
                        bytes($0.bytes(.bfloat16)),
                    ]
                }
        )
        let sizes = "\(sample.textTokens) text and \(imageTokens) image tokens, \(sample.answerTokens) predicted"
        lines += ["", "Operations per sample (\(sizes)), in GFLOP:", ""]
        lines += table(
            [["part", "forward", "backward"]]
                + operations.map { [$0.name, giga($0.forward), giga($0.backward)] }
                + [
                    [
                        "sum", giga(operations.reduce(0) { $0 + $1.forward }),
                        giga(operations.reduce(0) { $0 + $1.backward }),
                    ]
                ]
        )
        lines += [
            "",
            "Memory of a training step of \(sample.batchSize) samples, \(precision.rawValue), features kept on disk:",
            "",
        ]
        lines += table([
            ["trained weights (float32)", bytes(memory.trainedWeights)],
            ["frozen weights (\(precision.rawValue))", bytes(memory.frozenWeights)],
            ["gradients", bytes(memory.gradients)],
            ["optimizer state", bytes(memory.optimizerState)],
            ["activations (estimate)", bytes(memory.activations)],
            ["sum", bytes(memory.total)],
        ])
        lines += [
            "",
            "Answering: \(bytes(inferenceWeightBytes)) of weights, \(bytes(cacheBytesPerToken)) of keys and values per token",
            "Vision features on disk: \(bytes(featureBytesPerImage)) per picture",
        ]
        return lines.joined(separator: "\n")
    }

    private func count(_ number: Int) -> String {
        switch number {
        case 10_000_000...: String(format: "%.1f M", Double(number) / 1e6)
        case 10_000...: String(format: "%.1f k", Double(number) / 1e3)
        default: "\(number)"
        }
    }

    private func bytes(_ number: Int) -> String {
        switch number {
        case 1_000_000_000...: String(format: "%.2f GB", Double(number) / 1e9)
        case 1_000_000...: String(format: "%.1f MB", Double(number) / 1e6)
        default: String(format: "%.1f kB", Double(number) / 1e3)
        }
    }

    private func giga(_ operations: Double) -> String { String(format: "%.3f", operations / 1e9) }

    /// Aligned columns, the first to the left and the others to the right.
    private func table(_ rows: [[String]]) -> [String] {
        let widths = (rows.first ?? []).indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        return rows.map { row in
            row.enumerated().map { column, cell in
                let padding = String(repeating: " ", count: widths[column] - cell.count)
                return column == 0 ? cell + padding : padding + cell
            }.joined(separator: "  ")
        }
    }
}
