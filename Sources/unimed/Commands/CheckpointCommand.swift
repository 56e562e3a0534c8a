import ArgumentParser
import Foundation
import Torch
import TorchCheckpoints

/// `unimed checkpoint`: what is in files of weights.
struct CheckpointCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "checkpoint",
        abstract: "Look into files of weights.",
        subcommands: [CheckpointInspectCommand.self]
    )
}

/// `unimed checkpoint inspect`: keys, shapes, types and sizes of weights, or what two have alike.
struct CheckpointInspectCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "inspect",
        abstract: "List the tensors of a checkpoint, or compare two.",
        discussion: """
            Reads safetensors, files of torch.save (.pth, .bin) of tensors and plain values, and folders of them with or \
            without an index. Nothing that a file names is run.
            """
    )

    @Argument(help: "A file of weights, or a folder with one.", completion: .file())
    var checkpoint: String

    @Argument(help: "Another one, to compare with.", completion: .file())
    var other: String?

    @Option(
        name: .long,
        help: ArgumentHelp("The dictionary inside .pth files that holds the tensors, such as model.", valueName: "key")
    )
    var at: String?

    @OptionGroup var output: OutputOptions

    func run() throws {
        let first = try open(checkpoint)
        guard let other else {
            let summary = try CheckpointSummary(first)
            if output.json {
                try Terminal.output(json: summary)
            } else {
                Terminal.output(summary.text)
            }
            return
        }
        let bar = ProgressBar("comparing", unit: "tensors")
        let comparison = try CheckpointComparison(first, open(other)) { bar.update($0, of: $1) }
        bar.finish()
        if output.json {
            try Terminal.output(json: comparison)
        } else {
            Terminal.output(comparison.text)
        }
    }

    /// Opens a checkpoint; the dictionary's key is for those that have one.
    private func open(_ path: String) throws -> any WeightSource {
        let keys = at.map { $0.split(separator: "/").map(String.init) } ?? []
        return try Checkpoint.open(URL(fileURLWithPath: path), at: keys)
    }
}

extension CheckpointSummary {
    /// The table for a terminal.
    var text: String {
        let width = min(tensors.map(\.key.count).max() ?? 0, 80)
        var lines = tensors.map { tensor in
            let type = tensor.dtype.rawValue.padding(toLength: 8, withPad: " ", startingAt: 0)
            let size = byteText(tensor.byteCount)
            let space = String(repeating: " ", count: max(0, 8 - size.count))
            return "\(padded(tensor.key, width))  \(type)  \(space)\(size)  \(tensor.shape)"
        }
        for total in totals {
            lines.append(
                "\(total.dtype.rawValue): \(total.tensorCount) tensors, \(total.elementCount) elements, "
                    + byteText(total.byteCount)
            )
        }
        lines.append("\(path): \(tensors.count) tensors, \(elementCount) elements, \(byteText(byteCount))")
        return lines.joined(separator: "\n")
    }
}

extension CheckpointComparison {
    /// The differences for a terminal.
    var text: String {
        var lines: [String] = []
        lines += onlyInFirst.map { "only in the first: \($0)" }
        lines += onlyInSecond.map { "only in the second: \($0)" }
        lines += shapes.map { "shape: \($0.key): \($0.first) and \($0.second)" }
        lines += types.map { "type: \($0.key): \($0.first.rawValue) and \($0.second.rawValue)" }
        lines += values.map { "values: \($0.key): at most \($0.largest) apart" }
        let equal = "\(identicalCount) tensors are equal bit by bit"
        lines.append(isIdentical ? "\(equal): there is no difference" : equal)
        return lines.joined(separator: "\n")
    }
}

private func padded(_ text: String, _ width: Int) -> String {
    text.count >= width ? text : text.padding(toLength: width, withPad: " ", startingAt: 0)
}

/// A number of bytes as people read it.
func byteText(_ count: Int) -> String {
    let units = ["B", "kB", "MB", "GB", "TB"]
    var (value, unit) = (Double(count), 0)
    while value >= 1000, unit < units.count - 1 {
        value /= 1000
        unit += 1
    }
    return unit == 0 ? "\(count) B" : String(format: "%.1f %@", value, units[unit])
}
