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
