public import Foundation
public import UniMedData

/// An answer as it came, before it is scored.
struct KeptAnswer: Codable, Sendable, Equatable {
    var dataset: String
    var id: String
    var task: MedicalTask
    var text: String
    var tokenCount: Int
    var choiceScores: [Double]?
}

/// The answers of a running evaluation, so that one that is killed does not ask them again.
///
/// Every batch is appended to the file and synchronised to the disk. A last line that a killed process left unfinished is
/// cut off when the file is opened again. The file belongs to one model, one set of data and one set of options; who opens
/// it names it accordingly.
public final class PredictionLog {
    private struct Key: Hashable {
        let dataset: String
        let id: String
        let task: MedicalTask
    }

    private let url: URL
    private let descriptor: Int32
    private var answers: [Key: KeptAnswer] = [:]

    /// Opens a file, or makes it.
    ///
    /// - Throws: `DataError` when the file cannot be read or written, or has a whole line that is no answer.
    public init(at url: URL) throws(DataError) {
        self.url = url
        var whole = 0
        if FileManager.default.fileExists(atPath: url.path) {
            let data = try DataFile.read(url)
            let decoder = JSONDecoder()
            var number = 0
            while let end = data[whole...].firstIndex(of: UInt8(ascii: "\n")) {
                number += 1
                do {
                    let answer = try decoder.decode(KeptAnswer.self, from: data[whole..<end])
                    answers[Key(dataset: answer.dataset, id: answer.id, task: answer.task)] = answer
                } catch {
                    throw DataError.decoding(error, file: url.path, line: number)
                }
                whole = end + 1
            }
        }
        descriptor = open(url.path, O_WRONLY | O_CREAT | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else {
            throw DataError.fileSystem("cannot be opened for writing", path: url.path, errorNumber: errno)
        }
        guard ftruncate(descriptor, off_t(whole)) == 0, lseek(descriptor, 0, SEEK_END) >= 0 else {
            let number = errno
            close(descriptor)
            throw DataError.fileSystem("cannot be cut to its whole lines", path: url.path, errorNumber: number)
        }
    }

    deinit { close(descriptor) }

    /// How many answers the file holds.
    public var count: Int { answers.count }

    func answer(to sample: Sample) -> KeptAnswer? {
        answers[Key(dataset: sample.dataset, id: sample.id, task: sample.task)]
    }

    func append(_ batch: [KeptAnswer]) throws(DataError) {
        let encoder = DataFile.encoder
        var bytes = Data()
        for answer in batch {
            do {
                bytes += try encoder.encode(answer) + Data("\n".utf8)
            } catch {
                throw DataError(.invalid, "cannot be written as JSON: \(error)", file: url.path)
            }
            answers[Key(dataset: answer.dataset, id: answer.id, task: answer.task)] = answer
        }
        var written = 0
        while written < bytes.count {
            let part = bytes.withUnsafeBytes { buffer in
                buffer.baseAddress.map { write(descriptor, $0 + written, bytes.count - written) } ?? 0
            }
            if part < 0, errno == EINTR { continue }
            guard part > 0 else { throw DataError.fileSystem("cannot be written", path: url.path, errorNumber: errno) }
            written += part
        }
        guard fsync(descriptor) == 0 else {
            throw DataError.fileSystem("cannot be synchronised", path: url.path, errorNumber: errno)
        }
    }

    /// Removes the file, once its answers stand elsewhere.
    ///
    /// - Throws: `DataError` when it cannot be removed.
    public func remove() throws(DataError) {
        guard unlink(url.path) == 0 || errno == ENOENT else {
            throw DataError.fileSystem("cannot be removed", path: url.path, errorNumber: errno)
        }
    }
}
