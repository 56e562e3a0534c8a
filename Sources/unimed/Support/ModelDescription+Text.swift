import Foundation
import Torch
import UniMedEvaluation

extension ModelDescription {
    /// The description as tables of plain text.
    ///
    /// - Parameters:
    ///   - floors: The least time of a step on each of some devices.
    ///   - listsModules: Whether every module has a line, beside the parts.
    func text(floors: [StepFloor] = [], listsModules: Bool = false) -> String {
        var lines = ["\(count(parameterCount)) weights, \(count(trainedCount)) of them trained", ""]
        lines += weights("part", parts)
        if listsModules { lines += [""] + weights("module", modules) }
        let sizes = "\(sample.textTokens) text and \(imageTokens) image tokens, \(sample.answerTokens) predicted"
        lines += ["", "Operations per sample (\(sizes)), in GFLOP:", ""]
        let perStep = training.keepsFeatures ? operations.filter { $0.name != "vision encoder" } : operations
        lines += table(
            [["part", "forward", "backward"]]
                + operations.map { [$0.name, giga($0.forward), giga($0.backward)] }
                + [
                    [
                        training.keepsFeatures ? "sum of a step (features kept)" : "sum",
                        giga(perStep.reduce(0) { $0 + $1.forward }), giga(perStep.reduce(0) { $0 + $1.backward }),
                    ]
                ]
        )
        lines += ["", "Memory of a training step, \(samplesOfStep), \(precision.rawValue)\(checkpointing):", ""]
        lines += table([
            ["trained weights (float32)", bytes(memory.trainedWeights)],
            ["frozen weights (\((training.frozenType ?? precision).rawValue))", bytes(memory.frozenWeights)],
            ["vision encoder (\(precision.rawValue))", bytes(memory.visionWeights)],
            ["copies of weights, cast or joined", bytes(memory.weightCopies)],
            ["gradients (float32)", bytes(memory.gradients)],
            ["optimizer state (\(training.stateType.rawValue))", bytes(memory.optimizerState)],
            ["activations (estimate)", bytes(memory.activations)],
            ["sum", bytes(memory.total)],
        ])
        for floor in floors { lines += [""] + self.floor(floor) }
        lines += [
            "",
            "Answering: \(bytes(inferenceWeightBytes)) of weights, \(bytes(cacheBytesPerToken)) of keys and values per token",
            "On disk: model \(bytes(storage.model)), training checkpoint \(bytes(storage.checkpoint)), "
                + "vision features \(bytes(storage.featuresPerImage)) per picture",
        ]
        return lines.joined(separator: "\n")
    }

    private var samplesOfStep: String {
        training.accumulation == 1
            ? "\(sample.batchSize) samples" : "\(training.accumulation) batches of \(sample.batchSize) samples"
    }

    private var checkpointing: String { training.gradientCheckpointing ? ", gradient checkpointing" : "" }

    private func weights(_ title: String, _ rows: [Part]) -> [String] {
        table(
            [[title, "weights", "trained", "frozen"] + Self.weightTypes.map(\.rawValue)]
                + rows.map { part in
                    [part.name, count(part.parameters), count(part.trained), count(part.frozen)]
                        + Self.weightTypes.map { bytes(part.bytes($0)) }
                }
        )
    }

    private func floor(_ floor: StepFloor) -> [String] {
        let rates = floor.rates
        let speeds = String(
            format: "%.3g TFLOP/s, %.3g GB/s",
            rates.operationsPerSecond / 1e12,
            rates.bytesPerSecond / 1e9
        )
        return ["The least time of a step (\(samplesOfStep)) on \(rates.name), \(speeds):", ""]
            + table(
                [["part", "operations", "memory", "least time"]]
                    + floor.parts.map {
                        [
                            $0.name, milliseconds($0.operationSeconds), milliseconds($0.transferSeconds),
                            milliseconds($0.seconds),
                        ]
                    } + [["sum", "", "", milliseconds(floor.seconds)]]
            ) + [String(format: "at most %.4g samples per second", floor.samplesPerSecond)]
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

    private func milliseconds(_ seconds: Double) -> String { String(format: "%.2f ms", seconds * 1e3) }

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
