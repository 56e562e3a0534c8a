public import Foundation

/// Where paraphrases come from.
public struct METEORParaphraseSource: Sendable {
    private enum Origin: Sendable {
        case file(URL)
        case table([UInt8])
        case entries([(phrase: String, paraphrase: String)])
    }

    private let origin: Origin

    private init(origin: Origin) {
        self.origin = origin
    }

    /// METEOR's table: three lines an entry, a probability, a phrase and its paraphrase, compressed by gzip.
    public init(file: URL) {
        self.init(origin: .file(file))
    }

    /// Entries that are at hand, in the order of the table.
    public init(entries: [(phrase: String, paraphrase: String)]) {
        self.init(origin: .entries(entries))
    }

    /// The same paraphrases, in memory.
    func loaded() throws(MetricError) -> METEORParaphraseSource {
        guard case .file(let file) = origin else { return self }
        return METEORParaphraseSource(origin: .table(try METEORFiles.contents(ofGzip: file)))
    }

    /// The entries whose words all stand in a vocabulary.
    func entries(for vocabulary: WordNumbers) throws(MetricError) -> METEORParaphrases {
        var result = METEORParaphrases()
        switch origin {
        case .entries(let entries):
            for entry in entries {
                guard let phrase = vocabulary.known(Array(entry.phrase.utf8)[...]),
                    let paraphrase = vocabulary.known(Array(entry.paraphrase.utf8)[...])
                else { continue }
                result.add(phrase, paraphrase)
            }
        case .file(let file):
            result.add(METEORParaphraseSource.entries(of: try METEORFiles.contents(ofGzip: file), vocabulary))
        case .table(let table):
            result.add(METEORParaphraseSource.entries(of: table, vocabulary))
        }
        result.finish()
        return result
    }

    /// The bytes of a table that are looked at in one piece.
    private static let partLength = 1 << 20

    /// The entries of a table whose words all stand in a vocabulary, found with all processors.
    private static func entries(of table: [UInt8], _ vocabulary: WordNumbers) -> [METEORParaphrases.Entry] {
        let partCount = (table.count + partLength - 1) / partLength
        // Which of an entry's three lines a part begins with depends on the number of lines before it.
        let lineCounts = concurrentMap(partCount, smallest: 1) { parts in
            parts.map { lineCount(table[part($0, of: table)]) }
        }
        var firstLines = [0]
        for (index, count) in lineCounts.enumerated() { firstLines.append(firstLines[index] + count) }
        let lines = firstLines
        return concurrentMap(partCount, smallest: 1) { parts in
            var entries: [METEORParaphrases.Entry] = []
            for index in parts { add(table, part(index, of: table), lines[index], vocabulary, to: &entries) }
            return entries
        }
    }

    private static func part(_ index: Int, of table: [UInt8]) -> Range<Int> {
        (index * partLength)..<min((index + 1) * partLength, table.count)
    }

    private static func lineCount(_ bytes: ArraySlice<UInt8>) -> Int {
        bytes.withUnsafeBytes { bytes in
            var count = 0
            var start = 0
            // Eight bytes at once: the highest bit of each stays clear, and is counted, where the byte ends a line.
            let others: UInt64 = 0x7F7F_7F7F_7F7F_7F7F
            while start + 8 <= bytes.count {
                let block = bytes.loadUnaligned(fromByteOffset: start, as: UInt64.self) ^ 0x0A0A_0A0A_0A0A_0A0A
                count += (~(((block & others) &+ others) | block | others)).nonzeroBitCount
                start += 8
            }
            return count + bytes[start...].count { $0 == 0x0A }
        }
    }

    /// Adds the entries that begin in a part of a table, before which there are so many ends of lines.
    private static func add(
        _ table: [UInt8],
        _ part: Range<Int>,
        _ linesBefore: Int,
        _ vocabulary: WordNumbers,
        to entries: inout [METEORParaphrases.Entry]
    ) {
        table.withUnsafeBufferPointer { bytes in
            guard let base = bytes.baseAddress else { return }
            // A last line may do without its end.
            func lineEnd(_ start: Int) -> Int? {
                guard start < bytes.count else { return nil }
                guard let found = memchr(base + start, 0x0A, bytes.count - start) else { return bytes.count }
                return UnsafeRawPointer(found) - UnsafeRawPointer(base)
            }
            var position = part.lowerBound
            var line = linesBefore
            let isInsideLine = position > 0 && bytes[position - 1] != 0x0A
            while isInsideLine && line == linesBefore || line % 3 != 0 {
                guard let end = lineEnd(position) else { return }
                position = end + 1
                line += 1
            }
            while position < part.upperBound, let first = lineEnd(position), let second = lineEnd(first + 1),
                let third = lineEnd(second + 1)
            {
                // The paraphrase first would do as well; either way most entries end here.
                if let phrase = vocabulary.known(bytes[(first + 1)..<second]),
                    let paraphrase = vocabulary.known(bytes[(second + 1)..<third])
                {
                    entries.append(METEORParaphrases.Entry(phrase: phrase, paraphrase: paraphrase))
                }
                position = third + 1
            }
        }
    }
}

/// Paraphrases in the numbers of a vocabulary, as a tree of phrases.
struct METEORParaphrases {
    /// A phrase and its paraphrase.
    struct Entry {
        var phrase: [Int32]
        var paraphrase: [Int32]
    }

    private struct Node {
        var first = 0
        var count = 0
        var hasChildren = false
    }

    /// The children of all nodes, by ``edge(_:_:)``.
    private var children: [UInt64: Int32] = [:]
    /// The children of the root by their words, or `-1`.
    private var roots: [Int32] = []
    private var nodeCount: Int32 = 1
    /// Node and paraphrase of each entry, in the order of the table.
    private var entries: [(node: Int32, start: Int32, count: Int32)] = []
    private var words: [Int32] = []
    private var nodes: [Node] = []
    /// The entries sorted by node, the first words of their paraphrases beside them.
    private var sorted: [(start: Int32, count: Int32)] = []
    private var firstWords: [Int32] = []

    private static func edge(_ node: Int32, _ word: Int32) -> UInt64 {
        UInt64(UInt32(bitPattern: node)) << 32 | UInt64(UInt32(bitPattern: word))
    }

    mutating func add(_ entries: [Entry]) {
        for entry in entries { add(entry.phrase, entry.paraphrase) }
    }

    mutating func add(_ phrase: [Int32], _ paraphrase: [Int32]) {
        guard !phrase.isEmpty, !paraphrase.isEmpty else { return }
        var node: Int32 = 0
        for word in phrase {
            let edge = METEORParaphrases.edge(node, word)
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
        for (edge, child) in children {
            let node = Int(edge >> 32)
            nodes[node].hasChildren = true
            guard node == 0 else { continue }
            let word = Int(edge & 0xFFFF_FFFF)
            if word >= roots.count { roots += repeatElement(-1, count: word + 1 - roots.count) }
            roots[word] = child
        }
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

    private func child(_ node: Int32, _ word: Int32) -> Int32? {
        if node == 0 {
            guard Int(word) < roots.count, roots[Int(word)] >= 0 else { return nil }
            return roots[Int(word)]
        }
        return nodes[Int(node)].hasChildren ? children[METEORParaphrases.edge(node, word)] : nil
    }

    /// Calls for each phrase of a sentence that has a paraphrase in another one: by the phrase's start and length, then by
    /// the table, then by the place in the other sentence.
    func forEachMatch(
        of sentence: [Int32],
        in other: [Int32],
        _ body: (_ start: Int, _ length: Int, _ place: Int, _ placeLength: Int) -> Void
    ) {
        guard !sorted.isEmpty, let largest = other.max() else { return }
        var isInOther = [Bool](repeating: false, count: Int(largest) + 1)
        for word in other { isInOther[Int(word)] = true }
        for start in sentence.indices {
            var node: Int32 = 0
            var end = start
            while end < sentence.count, let child = child(node, sentence[end]) {
                node = child
                end += 1
                let range = nodes[Int(node)]
                for index in range.first..<(range.first + range.count) {
                    let word = Int(firstWords[index])
                    guard word < isInOther.count, isInOther[word] else { continue }
                    let first = Int(sorted[index].start)
                    let count = Int(sorted[index].count)
                    guard count <= other.count else { continue }
                    for place in 0...(other.count - count) where other[place] == Int32(word) {
                        if (1..<count).allSatisfy({ other[place + $0] == words[first + $0] }) {
                            body(start, end - start, place, count)
                        }
                    }
                }
            }
        }
    }
}
