public import Foundation

/// The data of METEOR's synonym and paraphrase stages.
public struct METEORResources: Sendable {
    /// The synonym sets of words, or `nil`.
    public var synonyms: METEORSynonyms?
    /// The paraphrase table, or `nil`.
    public var paraphrases: METEORParaphraseSource?

    /// Makes resources from what is there.
    public init(synonyms: METEORSynonyms? = nil, paraphrases: METEORParaphraseSource? = nil) {
        self.synonyms = synonyms
        self.paraphrases = paraphrases
    }

    /// The same data, of which the paraphrase table is in memory.
    func loaded() throws(MetricError) -> METEORResources {
        METEORResources(synonyms: synonyms, paraphrases: try paraphrases?.loaded())
    }

    func has(_ stage: METEOR.Stage) -> Bool {
        switch stage {
        case .exact, .stem: true
        case .synonym: synonyms != nil
        case .paraphrase: paraphrases != nil
        }
    }

    /// The data found in a folder and, for synonyms, beside it or in a WordNet folder.
    ///
    /// In `folder` and its folder `data` the paraphrase table `paraphrase-en.gz` is looked for, and for the synonyms, in
    /// this order: METEOR's archive `meteor-1.5.jar`, METEOR's own files `english.synsets` and `english.exceptions` (in
    /// `synonym` as well), WordNet's files (`index.noun` and so on). Without `folder`, and where it has no synonyms,
    /// `wordNet` is looked at.
    ///
    /// - Parameters:
    ///   - folder: A METEOR folder, such as the one in pycocoevalcap, or `nil`.
    ///   - wordNet: A folder with WordNet's database files; by default where Debian's `wordnet-base` puts it.
    /// - Throws: ``MetricError/unreadableResource(path:reason:)`` when a file is there and cannot be read.
    public static func find(
        in folder: URL?,
        wordNet: URL = URL(fileURLWithPath: "/usr/share/wordnet", isDirectory: true)
    ) throws(MetricError) -> METEORResources {
        var resources = METEORResources()
        let exists = { (url: URL) in FileManager.default.fileExists(atPath: url.path) }
        if let folder {
            guard exists(folder) else {
                throw .unreadableResource(
                    path: folder.path,
                    reason: "expected a folder with METEOR's data, got nothing"
                )
            }
            let tables = ["paraphrase-en.gz", "data/paraphrase-en.gz"].map { folder.appendingPathComponent($0) }
            resources.paraphrases = tables.first(where: exists).map { METEORParaphraseSource(file: $0) }
            let archive = folder.appendingPathComponent("meteor-1.5.jar")
            let lists = [folder, folder.appendingPathComponent("synonym")]
            if exists(archive) {
                resources.synonyms = try METEORSynonyms(archive: archive)
            } else if let list = lists.first(where: { exists($0.appendingPathComponent("english.synsets")) }) {
                resources.synonyms = try METEORSynonyms(folder: list)
            } else if exists(folder.appendingPathComponent("index.noun")) {
                resources.synonyms = try METEORSynonyms(wordNet: folder)
            }
        }
        if resources.synonyms == nil, exists(wordNet.appendingPathComponent("index.noun")) {
            resources.synonyms = try METEORSynonyms(wordNet: wordNet)
        }
        return resources
    }
}

/// The synonym sets of words, after WordNet.
///
/// The sets of a word are its own and those of its base form: by the list of irregular forms, or else by the first rule
/// for endings whose result has a set.
public struct METEORSynonyms: Sendable {
    private var sets: [String: [Int32]] = [:]
    private var bases: [String: [String]] = [:]
    private let isComplete: Bool

    /// Makes a dictionary that holds the sets of each word together with those of its base forms.
    ///
    /// - Parameter complete: The numbers of the sets by word.
    public init(complete: [String: [Int32]]) {
        sets = complete.mapValues { $0.sorted() }
        isComplete = true
    }

    /// Reads METEOR's files `english.synsets` and `english.exceptions` of a folder.
    ///
    /// - Throws: ``MetricError/unreadableResource(path:reason:)``.
    public init(folder: URL) throws(MetricError) {
        isComplete = false
        try read(METEORFiles.bytes(folder.appendingPathComponent("english.synsets")), folder.path)
        let exceptions = folder.appendingPathComponent("english.exceptions")
        if FileManager.default.fileExists(atPath: exceptions.path) {
            readExceptions(try METEORFiles.bytes(exceptions))
        }
    }

    /// Reads the files out of METEOR's archive `meteor-1.5.jar`.
    ///
    /// - Throws: ``MetricError/unreadableResource(path:reason:)``.
    public init(archive: URL) throws(MetricError) {
        isComplete = false
        let entries = try METEORFiles.entries(
            ["synonym/english.synsets", "synonym/english.exceptions"],
            ofArchive: archive
        )
        try read(entries[0], archive.path)
        readExceptions(entries[1])
    }

    /// Reads WordNet's database files `index.*` and `*.exc`.
    ///
    /// - Throws: ``MetricError/unreadableResource(path:reason:)``.
    public init(wordNet folder: URL) throws(MetricError) {
        isComplete = false
        for part in ["noun", "verb", "adj", "adv"] {
            let index = try METEORFiles.bytes(folder.appendingPathComponent("index." + part))
            for line in index.split(separator: 0x0A) where line.first != 0x20 {
                let fields = line.split(separator: 0x20)
                guard fields.count > 2, let count = METEORFiles.number(fields[2]), fields.count >= count else {
                    continue
                }
                let numbers = fields.suffix(count).compactMap { METEORFiles.number($0).map(Int32.init) }
                sets[METEORFiles.string(fields[0]), default: []] += numbers
            }
            let exceptions = folder.appendingPathComponent(part + ".exc")
            guard FileManager.default.fileExists(atPath: exceptions.path) else { continue }
            for line in try METEORFiles.bytes(exceptions).split(separator: 0x0A) {
                let fields = line.split(separator: 0x20).map(METEORFiles.string)
                guard let form = fields.first else { continue }
                bases[form, default: []] += fields.dropFirst()
            }
        }
    }

    private mutating func read(_ bytes: [UInt8], _ path: String) throws(MetricError) {
        let lines = bytes.split(separator: 0x0A, omittingEmptySubsequences: false)
        sets.reserveCapacity(lines.count / 2)
        for index in stride(from: 0, to: lines.count - 1, by: 2) {
            let numbers = lines[index + 1].split(separator: 0x20).compactMap { METEORFiles.number($0).map(Int32.init) }
            sets[METEORFiles.string(lines[index])] = numbers
        }
        guard !sets.isEmpty else {
            throw .unreadableResource(path: path, reason: "expected words and their synonym sets, got none")
        }
    }

    private mutating func readExceptions(_ bytes: [UInt8]) {
        let lines = bytes.split(separator: 0x0A, omittingEmptySubsequences: false)
        for index in stride(from: 0, to: lines.count - 1, by: 2) {
            let base = METEORFiles.string(lines[index])
            for form in lines[index + 1].split(separator: 0x20) {
                bases[METEORFiles.string(form), default: []].append(base)
            }
        }
    }

    /// The numbers of a word's sets, sorted.
    func synsets(of word: String) -> [Int32] {
        if isComplete { return sets[word] ?? [] }
        var result = Set(sets[word] ?? [])
        if let bases = bases[word] {
            for base in bases { result.formUnion(sets[base] ?? []) }
        } else if let base = baseForm(word) {
            result.formUnion(sets[base] ?? [])
        }
        return result.sorted()
    }

    private static let endings = [
        ("s", ""), ("ses", "s"), ("xes", "x"), ("zes", "z"), ("ches", "ch"), ("shes", "sh"), ("men", "man"),
        ("ies", "y"),
        ("s", ""), ("ies", "y"), ("es", "e"), ("es", ""), ("ed", "e"), ("ed", ""), ("ing", "e"), ("ing", ""),
        ("er", ""),
        ("est", ""), ("er", "e"), ("est", "e"),
    ]

    private func baseForm(_ word: String) -> String? {
        var tested = word
        var rest = ""
        if word.hasSuffix("ful") {
            tested = String(word.dropLast(3))
            rest = "ful"
        } else if word.hasSuffix("ss") || word.utf16.count <= 2 {
            return word
        }
        for (ending, replacement) in METEORSynonyms.endings where tested.hasSuffix(ending) {
            // The published tool cuts the ending off the whole word, which a word in "ful" does not end in.
            let form = String(word.dropLast(ending.count)) + replacement
            if sets[form] != nil { return form + rest }
        }
        return nil
    }
}
