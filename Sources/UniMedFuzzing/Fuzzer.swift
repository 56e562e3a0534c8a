public import Foundation

/// Feeds readers with damaged files; what comes follows from a seed.
public struct Fuzzer {
    /// How many files were read.
    public struct Report: Codable, Sendable, Equatable {
        /// The seed.
        public var seed: UInt64
        /// The files of each format that were read to the end.
        public var accepted: [String: Int]
        /// The files of each format that were refused.
        public var refused: [String: Int]

        /// The number of files.
        public var count: Int { accepted.values.reduce(0, +) + refused.values.reduce(0, +) }
    }

    /// A file that a reader did not refuse in its own way.
    public struct Failure: Error, CustomStringConvertible {
        /// The format, the number of the case and what was thrown.
        public let description: String
    }

    private let seed: UInt64
    private let formats: [FuzzFormat]
    private let corpora: [[Data]]
    private let folder: URL

    /// Makes the sound files and reads each, to see that readers and files are sound.
    ///
    /// - Parameters:
    ///   - seed: Everything follows from it and the formats.
    ///   - formats: What is damaged, in turn.
    ///   - folder: Where files go that readers read from the disk.
    ///   - more: Further sound files by format, which may be damaged as well.
    /// - Throws: ``Failure`` when a sound file is refused.
    public init(
        seed: UInt64,
        formats: [FuzzFormat] = FuzzFormat.all,
        folder: URL,
        more: [String: [Data]] = [:]
    ) throws {
        precondition(!formats.isEmpty, "there is a format")
        self.seed = seed
        self.formats = formats
        self.folder = folder
        corpora = try formats.map { format in
            let corpus = try format.corpus() + (more[format.name] ?? [])
            for (index, file) in corpus.enumerated() {
                guard case .accepted = try format.read(file, folder) else {
                    throw Failure(description: "\(format.name): the sound file \(index) is refused")
                }
            }
            return corpus
        }
    }

    /// The damaged file of a case.
    public func file(_ index: Int) -> Data {
        let corpus = corpora[index % formats.count]
        var generator = SplitMix64(seed: seed, index: index)
        return formats[index % formats.count].damage(
            corpus.randomElement(using: &generator) ?? Data(),
            corpus,
            &generator
        )
    }

    /// Reads the files of some cases.
    ///
    /// - Parameters:
    ///   - indices: The numbers of the cases; each is the same whichever others are asked for.
    ///   - willRead: Told the number of each case before its file is read.
    /// - Returns: How many were read and refused.
    /// - Throws: ``Failure`` for the first file at which a reader throws an error that is not of its own type.
    public func run(_ indices: Range<Int>, willRead: (Int) -> Void = { _ in }) throws -> Report {
        var report = Report(seed: seed, accepted: [:], refused: [:])
        for index in indices {
            let format = formats[index % formats.count]
            let file = file(index)
            willRead(index)
            let outcome: FuzzFormat.Outcome
            do {
                outcome = try format.read(file, folder)
            } catch {
                throw Failure(description: "\(format.name), seed \(seed), case \(index): \(error)")
            }
            switch outcome {
            case .accepted: report.accepted[format.name, default: 0] += 1
            case .refused: report.refused[format.name, default: 0] += 1
            }
        }
        return report
    }
}
