import Foundation
import UniMedData

/// Folders and names inside a run.
enum RunFolder {
    /// Makes a folder and those above it.
    static func create(_ folder: URL) throws(TrainingError) {
        do {
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        } catch {
            throw TrainingError(.fileSystem, "the folder cannot be made: \(reason(error))", file: folder.path)
        }
    }

    /// Removes a file or folder that may not be there.
    static func remove(_ url: URL) throws(TrainingError) {
        guard FileManager.default.fileExists(atPath: url.path) else { return }
        do {
            try FileManager.default.removeItem(at: url)
        } catch {
            throw TrainingError(.fileSystem, "cannot be removed: \(reason(error))", file: url.path)
        }
    }

    /// The names in a folder, sorted; none when it is not there.
    static func names(in folder: URL) -> [String] {
        ((try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []).sorted()
    }

    /// Refuses to write where something is: a file, or a folder that is not empty.
    static func requireVacant(_ folder: URL) throws(TrainingError) {
        var isFolder: ObjCBool = false
        guard FileManager.default.fileExists(atPath: folder.path, isDirectory: &isFolder) else { return }
        guard isFolder.boolValue, names(in: folder).isEmpty else {
            throw TrainingError(.fileSystem, "there is something already; name another folder", file: folder.path)
        }
    }

    /// Writes a folder, which is there completely or not at all; it must be vacant.
    static func writeWhole<Result>(
        _ folder: URL,
        _ body: (_ partial: URL) throws(TrainingError) -> Result
    ) throws(TrainingError) -> Result {
        let folder = folder.standardizedFileURL
        let parent = folder.deletingLastPathComponent()
        try create(parent)
        let partial = parent.appendingPathComponent("." + folder.lastPathComponent + ".partial")
        try remove(partial)
        try create(partial)
        do throws(TrainingError) {
            let result = try body(partial)
            try remove(folder)
            try rename(partial, to: folder)
            return result
        } catch {
            try? remove(partial)
            throw error
        }
    }

    /// Gives a folder another name, and makes that durable.
    static func rename(_ old: URL, to new: URL) throws(TrainingError) {
        guard Foundation.rename(old.path, new.path) == 0 else {
            throw TrainingError(
                .fileSystem,
                "cannot be given its name: \(String(cString: strerror(errno)))",
                file: new.path
            )
        }
        try training { try UniMedData.AtomicFile.synchronizeFolder(new.deletingLastPathComponent().path) }
    }

    private static func reason(_ error: any Error) -> String {
        let system = (error as NSError).userInfo[NSUnderlyingErrorKey] as? NSError
        if let system, system.domain == NSPOSIXErrorDomain { return String(cString: strerror(Int32(system.code))) }
        return error.localizedDescription
    }
}
