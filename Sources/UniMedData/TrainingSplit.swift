public import Foundation

/// By what a sample that is evaluated stands in the training split of the model.
public enum LeakKind: String, Codable, CodingKeyRepresentable, Sendable, CaseIterable, Hashable {
    /// Its picture, equal in every pixel as it is kept.
    case image
    /// Its patient, case or study.
    case study
    /// Its text: question and answer where there is no picture, or the whole report.
    case text
}

/// What a model was trained on, as digests: enough to recognise a sample, not enough to read it.
///
/// Pictures are recognised by their pixels as they are kept, so only data of the same size of pictures can be compared by
/// them. A text stands for its sample only where others do not share it by the nature of the task: question and answer of
/// questions without a picture, and reports of at least ``reportWordCount`` words. "Which modality? MRI" is asked about
/// many pictures and is no leak.
public struct TrainingSplit: Codable, Sendable, Equatable {
    /// The layout of the file; this program reads version 1.
    public var formatVersion: Int
    /// The content key of the prepared data.
    public var dataKey: String
    /// The width and height of the pictures, in pixels.
    public var imageSize: Int
    /// The digests of the pictures, sorted.
    public var images: [String]
    /// The digests of data set and patient, case or study, sorted.
    public var studies: [String]
    /// The digests of the texts, sorted.
    public var texts: [String]

    /// The name of the file in a run's folder.
    public static let fileName = "training-split.json"
    /// The words from which on equal reports count as the same report.
    public static let reportWordCount = 12

    /// Computes the digests of the training split of prepared data.
    public init(of data: PreparedData) {
        formatVersion = 1
        dataKey = data.key
        imageSize = data.images.size
        var (images, studies, texts) = (Set<String>(), Set<String>(), Set<String>())
        var known: [String: String] = [:]
        for index in data.indices(split: .train) {
            let sample = data.samples[index]
            if let digest = TrainingSplit.image(of: sample, in: data, &known) { images.insert(digest) }
            if let digest = TrainingSplit.study(of: sample) { studies.insert(digest) }
            if let digest = TrainingSplit.text(of: sample) { texts.insert(digest) }
        }
        self.images = images.sorted()
        self.studies = studies.sorted()
        self.texts = texts.sorted()
    }

    /// Reads the file of a run's folder, or of the run whose model's folder it is; `nil` where there is none.
    ///
    /// - Throws: ``DataError`` when there is one that cannot be read.
    public static func find(for checkpoint: URL) throws(DataError) -> TrainingSplit? {
        let folder = checkpoint.standardizedFileURL
        var folders = [folder]
        if FileManager.default.fileExists(atPath: folder.appendingPathComponent("configuration.json").path) {
            folders.append(folder.deletingLastPathComponent())
        }
        for folder in folders {
            let file = folder.appendingPathComponent(fileName)
            guard FileManager.default.fileExists(atPath: file.path) else { continue }
            let split = try DataFile.readJSON(TrainingSplit.self, from: file)
            guard split.formatVersion == 1 else {
                throw DataError(
                    .invalid,
                    "expected 1, found \(split.formatVersion)",
                    file: file.path,
                    field: "formatVersion"
                )
            }
            return split
        }
        return nil
    }

    /// Writes the file into a run's folder.
    ///
    /// - Throws: ``DataError`` when it cannot be written.
    public func write(to folder: URL) throws(DataError) {
        try DataFile.writeJSON(self, to: folder.appendingPathComponent(TrainingSplit.fileName))
    }

    /// By what each sample of a part of the data stands in this training split.
    ///
    /// - Parameters:
    ///   - positions: Positions in the data's samples.
    ///   - data: Prepared data, the run's own or others.
    /// - Returns: For each position the kinds of leak, none for a sample that the model has not seen.
    public func leaks(of positions: some Sequence<Int>, in data: PreparedData) -> [Int: [LeakKind]] {
        let (images, studies, texts) = (Set(images), Set(studies), Set(texts))
        var known: [String: String] = [:]
        var leaks: [Int: [LeakKind]] = [:]
        for position in positions {
            let sample = data.samples[position]
            var kinds: [LeakKind] = []
            if comparesImages(with: data), let digest = TrainingSplit.image(of: sample, in: data, &known),
                images.contains(digest)
            {
                kinds.append(.image)
            }
            if let digest = TrainingSplit.study(of: sample), studies.contains(digest) { kinds.append(.study) }
            if let digest = TrainingSplit.text(of: sample), texts.contains(digest) { kinds.append(.text) }
            leaks[position] = kinds
        }
        return leaks
    }

    /// Whether pictures can be compared: they are kept at the same size.
    public func comparesImages(with data: PreparedData) -> Bool { data.images.size == imageSize }

    // MARK: Digests

    /// 128 bits: no two pictures of a data set meet by chance.
    private static let digestLength = 32

    private static func shortened(_ digest: String) -> String { String(digest.prefix(digestLength)) }

    private static func image(
        of sample: Sample,
        in data: PreparedData,
        _ known: inout [String: String]
    ) -> String? {
        guard let image = sample.image else { return nil }
        let name = sample.dataset + "\n" + image.path
        if let digest = known[name] { return digest }
        guard let positions = data.images.positions(of: sample) else { return nil }
        var hash = SHA256()
        for position in positions { data.images.withPixels(at: position) { hash.update($0) } }
        let digest = shortened(hash.hexDigest())
        known[name] = digest
        return digest
    }

    private static func study(of sample: Sample) -> String? {
        sample.group.map { shortened(SHA256.hexDigest(of: Array("study\n\(sample.dataset)\n\($0)".utf8))) }
    }

    private static func text(of sample: Sample) -> String? {
        let text: String
        switch sample.task {
        case .questionAnswering: text = (sample.question ?? "") + "\n" + sample.answer
        case .reportGeneration: text = sample.answer
        default: return nil
        }
        let words = text.lowercased().split { !$0.isLetter && !$0.isNumber }
        guard sample.task == .questionAnswering ? !words.isEmpty : words.count >= reportWordCount else { return nil }
        return shortened(SHA256.hexDigest(of: Array(words.joined(separator: " ").utf8)))
    }
}
