public import Foundation

/// Where paraphrases come from.
public struct METEORParaphraseSource: Sendable {
    private enum Origin: Sendable {
        case file(URL)
        case entries([(phrase: String, paraphrase: String)])
    }

    private let origin: Origin

    /// METEOR's table: three lines an entry, a probability, a phrase and its paraphrase, compressed by gzip.
    public init(file: URL) {
        origin = .file(file)
    }

    /// Entries that are at hand, in the order of the table.
    public init(entries: [(phrase: String, paraphrase: String)]) {
        origin = .entries(entries)
    }

    /// The entries whose words all stand in a vocabulary.
    func entries(for vocabulary: WordNumbers) throws(MetricError) -> METEORParaphrases {
        var result = METEORParaphrases()
        switch origin {
        case .entries(let entries):
            for entry in entries {
                let phrase = entry.phrase.utf8.split(separator: 0x20).map { vocabulary.known(Substring($0)) }
                let paraphrase = entry.paraphrase.utf8.split(separator: 0x20).map { vocabulary.known(Substring($0)) }
                result.add(phrase, paraphrase)
            }
        case .file(let file):
            let table = METEORWordTable(vocabulary)
            try METEORFiles.forEachLineOfThree(ofGzip: file) { phrase, paraphrase in
                // The paraphrase first would do as well; either way most entries end here.
                guard let first = table.numbers(phrase), let second = table.numbers(paraphrase) else { return }
                result.add(first, second)
            }
        }
        result.finish()
        return result
    }
}

/// Paraphrases in the numbers of a vocabulary, as a tree of phrases.
struct METEORParaphrases {
    private struct Node {
        var first = 0
        var count = 0
    }

    private struct Edge: Hashable {
        var node: Int32
        var word: Int32
    }

    private var children: [Edge: Int32] = [:]
    private var nodeCount: Int32 = 1
    /// Node and paraphrase of each entry, in the order of the table.
    private var entries: [(node: Int32, start: Int32, count: Int32)] = []
    private var words: [Int32] = []
    private var nodes: [Node] = []
    /// The entries sorted by node, the first words of their paraphrases beside them.
    private var sorted: [(start: Int32, count: Int32)] = []
    private var firstWords: [Int32] = []

    mutating func add(_ phrase: [Int32?], _ paraphrase: [Int32?]) {
        let first = phrase.compactMap { $0 }
        let second = paraphrase.compactMap { $0 }
        guard first.count == phrase.count, second.count == paraphrase.count else { return }
        add(first, second)
    }

    mutating func add(_ phrase: [Int32], _ paraphrase: [Int32]) {
        guard !phrase.isEmpty, !paraphrase.isEmpty else { return }
        var node: Int32 = 0
        for word in phrase {
            let edge = Edge(node: node, word: word)
            if let child = children[edge] {
                node = child
            } else {
                children[edge] = nodeCount
                node = nodeCount
                nodeCount += 1
            }
        }
        entries.append((node, Int32(words.count), Int32(paraphrase.count)))
        words += paraphrase
    }

    /// Puts the entries of each phrase side by side.
    mutating func finish() {
        nodes = [Node](repeating: Node(), count: Int(nodeCount))
        for entry in entries { nodes[Int(entry.node)].count += 1 }
        var first = 0
        for index in nodes.indices {
            nodes[index].first = first
            first += nodes[index].count
        }
        var next = nodes.map(\.first)
        sorted = [(start: Int32, count: Int32)](repeating: (0, 0), count: entries.count)
        firstWords = [Int32](repeating: 0, count: entries.count)
        for entry in entries {
            let place = next[Int(entry.node)]
            next[Int(entry.node)] += 1
            sorted[place] = (entry.start, entry.count)
            firstWords[place] = words[Int(entry.start)]
        }
        entries = []
    }

    /// Calls for each phrase of a sentence that has a paraphrase in another one: by the phrase's start and length, then by
    /// the table, then by the place in the other sentence.
    func forEachMatch(
        of sentence: [Int32],
        in other: [Int32],
        _ body: (_ start: Int, _ length: Int, _ place: Int, _ placeLength: Int) -> Void
    ) {
        guard !sorted.isEmpty, let largest = other.max() else { return }
        var first = [Bool](repeating: false, count: Int(largest) + 1)
        for word in other { first[Int(word)] = true }
        for start in sentence.indices {
            var node: Int32 = 0
            var end = start
            while end < sentence.count, let child = children[Edge(node: node, word: sentence[end])] {
                node = child
                end += 1
                let range = nodes[Int(node)]
                for index in range.first..<(range.first + range.count) {
                    let word = Int(firstWords[index])
                    guard word < first.count, first[word] else { continue }
                    let paraphrase = words[Int(sorted[index].start)..<Int(sorted[index].start + sorted[index].count)]
                    for place in 0..<other.count
                    where other[place] == Int32(word) && place + paraphrase.count <= other.count {
                        if other[place..<(place + paraphrase.count)] == paraphrase {
                            body(start, end - start, place, paraphrase.count)
                        }
                    }
                }
            }
        }
    }
}

/// A vocabulary that is looked up by bytes, without making strings.
struct METEORWordTable {
    private var slots: [Int32]
    private var starts: [Int32] = [0]
    private var bytes: [UInt8] = []
    private let mask: Int

    init(_ vocabulary: WordNumbers) {
        let words = vocabulary.wordsInOrder
        var capacity = 16
        while capacity < words.count * 4 { capacity *= 2 }
        mask = capacity - 1
        slots = [Int32](repeating: -1, count: capacity)
        for (number, word) in words.enumerated() {
            let utf8 = Array(word.utf8)
            bytes += utf8
            starts.append(Int32(bytes.count))
            var slot = METEORWordTable.hash(utf8[...]) & mask
            while slots[slot] >= 0 { slot = (slot + 1) & mask }
            slots[slot] = Int32(number)
        }
    }

    private static func hash(_ word: some Sequence<UInt8>) -> Int {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in word { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
        return Int(truncatingIfNeeded: hash ^ (hash >> 29)) & Int.max
    }

    /// The numbers of the words between spaces, or `nil` when one is unknown.
    func numbers(_ line: UnsafeBufferPointer<UInt8>) -> [Int32]? {
        var result: [Int32] = []
        var index = 0
        while index < line.count {
            while index < line.count, line[index] == 0x20 || line[index] == 0x09 { index += 1 }
            let start = index
            var hash: UInt64 = 0xCBF2_9CE4_8422_2325
            while index < line.count, line[index] != 0x20, line[index] != 0x09 {
                hash = (hash ^ UInt64(line[index])) &* 0x100_0000_01B3
                index += 1
            }
            guard index > start else { break }
            var slot = Int(truncatingIfNeeded: hash ^ (hash >> 29)) & Int.max & mask
            var found: Int32 = -1
            while slots[slot] >= 0 {
                let number = Int(slots[slot])
                let first = Int(starts[number])
                let count = Int(starts[number + 1]) - first
                if count == index - start, (0..<count).allSatisfy({ bytes[first + $0] == line[start + $0] }) {
                    found = slots[slot]
                    break
                }
                slot = (slot + 1) & mask
            }
            guard found >= 0 else { return nil }
            result.append(found)
        }
        return result
    }
}
