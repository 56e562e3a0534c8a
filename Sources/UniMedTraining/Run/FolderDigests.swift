import Foundation
import UniMedData

/// The SHA-256 of files of a folder, in a file beside them: a flipped bit in a weight is found when it is read.
///
/// The format of weights has no check of its own. A folder without digests, as others make, is taken as it is.
enum FolderDigests {
    static let fileName = "digests.json"

    /// Writes the digests of files that were just written.
    static func write(of names: [String], in folder: URL) throws(TrainingError) {
        try training {
            var digests: [String: String] = [:]
            for name in names { digests[name] = try DataFile.digest(of: folder.appendingPathComponent(name)).sha256 }
            try DataFile.writeJSON(digests, to: folder.appendingPathComponent(fileName))
        }
    }

    /// Compares the files with their digests.
    ///
    /// - Throws: ``TrainingError`` of kind `checkpoint` that names the first file whose bytes are others.
    static func verify(_ folder: URL) throws(TrainingError) {
        let file = folder.appendingPathComponent(fileName)
        guard FileManager.default.fileExists(atPath: file.path) else { return }
        let digests = try training { try DataFile.readJSON([String: String].self, from: file) }
        for (name, expected) in digests.sorted(by: { $0.key < $1.key }) {
            let url = folder.appendingPathComponent(name)
            let found = try training { try DataFile.digest(of: url).sha256 }
            guard found == expected else {
                let problem = "the bytes are not those that were written (SHA-256 \(found), expected \(expected))"
                throw TrainingError(.checkpoint, problem, file: url.path)
            }
        }
    }
}
