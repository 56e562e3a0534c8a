package import Foundation
package import Torch
import TorchCheckpoints
import UniMedData

/// The checkpoints of a stage: a folder each, there completely or not at all.
///
/// ```
/// checkpoints/
///   latest                      the name of the newest, replaced in one step
///   step-00000500/
///     weights.safetensors       what is trained
///     optimizer.safetensors     its moments and step counts, and random states
///     state.json                step, data position, positions in the metrics files
///     digests.json              SHA-256 of the files of tensors
/// ```
package struct CheckpointStore {
    /// The folder of all checkpoints.
    package let folder: URL
    /// How many are kept.
    package let keptCount: Int

    package init(folder: URL, keptCount: Int) {
        self.folder = folder
        self.keptCount = keptCount
    }

    package static let stateName = "state.json"
    package static let latestName = "latest"
    private static let prefix = "step-"
    private static let partialSuffix = ".partial"
    private static let removedSuffix = ".removed"

    private static func name(ofStep step: Int) -> String {
        let digits = "\(step)"
        return prefix + String(repeating: "0", count: max(0, 8 - digits.count)) + digits
    }

    /// The newest complete checkpoint; `nil` when there is none.
    package func latest() -> URL? {
        let names = RunFolder.names(in: folder).filter { $0.hasPrefix(Self.prefix) && !$0.contains(".") }
        let pointer = folder.appendingPathComponent(Self.latestName)
        if let data = FileManager.default.contents(atPath: pointer.path) {
            let name = String(decoding: data, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
            if names.contains(name) { return folder.appendingPathComponent(name) }
        }
        return names.last.map { folder.appendingPathComponent($0) }
    }

    /// Writes a checkpoint, points to it, and removes those that are too many.
    ///
    /// - Parameter files: Tensors by the file they go to.
    package func save(
        step: Int,
        files: [(name: String, tensors: [(String, Tensor)])],
        state: some Encodable
    ) throws(TrainingError) {
        try RunFolder.create(folder)
        let name = Self.name(ofStep: step)
        let final = folder.appendingPathComponent(name)
        let partial = folder.appendingPathComponent(name + Self.partialSuffix)
        try RunFolder.remove(partial)
        try RunFolder.create(partial)
        do {
            for file in files {
                try SafetensorsFile.write(file.tensors, to: partial.appendingPathComponent(file.name))
            }
            try FolderDigests.write(of: files.map(\.name), in: partial)
            try DataFile.writeJSON(state, to: partial.appendingPathComponent(Self.stateName))
            if FileManager.default.fileExists(atPath: final.path) {
                // Left by a run that was killed before it could point to it.
                let old = folder.appendingPathComponent(name + Self.removedSuffix)
                try RunFolder.remove(old)
                try RunFolder.rename(final, to: old)
            }
            try RunFolder.rename(partial, to: final)
            try UniMedData.AtomicFile.write(
                Data((name + "\n").utf8),
                to: folder.appendingPathComponent(Self.latestName)
            )
        } catch {
            // The first failure is the one to tell; what is left of the partial folder is removed at the next start.
            try? RunFolder.remove(partial)
            throw TrainingError(error, step: step)
        }
        try removeOld(keeping: name)
    }

    /// Removes what an interrupted run left, and checkpoints beyond those that are kept.
    package func clean() throws(TrainingError) {
        for name in RunFolder.names(in: folder)
        where name.hasSuffix(Self.partialSuffix) || name.hasSuffix(Self.removedSuffix) {
            try RunFolder.remove(folder.appendingPathComponent(name))
        }
    }

    private func removeOld(keeping newest: String) throws(TrainingError) {
        let names = RunFolder.names(in: folder).filter { $0.hasPrefix(Self.prefix) && !$0.contains(".") }
        for name in names.filter({ $0 < newest }).dropLast(keptCount - 1) + names.filter({ $0 > newest }) {
            // Under another name first, so that a half-removed checkpoint is never taken for one.
            let removed = folder.appendingPathComponent(name + Self.removedSuffix)
            try RunFolder.rename(folder.appendingPathComponent(name), to: removed)
        }
        try clean()
    }

    /// Reads the state of a checkpoint whose files are those that were written.
    package static func state<State: Decodable>(_ type: State.Type, of checkpoint: URL) throws(TrainingError) -> State {
        try FolderDigests.verify(checkpoint)
        do {
            return try DataFile.readJSON(type, from: checkpoint.appendingPathComponent(stateName))
        } catch {
            throw TrainingError(.checkpoint, error.problem, file: error.file, field: error.field)
        }
    }
}
