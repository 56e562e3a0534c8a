/// Byte-pair encoding: the symbols of a word are merged, the earliest merge of the file first, the leftmost on ties.
///
/// A word of n symbols takes O(n log n): the merges that are possible wait in a queue by rank and place.
struct BytePairModel: Sendable {
    /// What a word is before its merges.
    private enum Symbols: Sendable {
        /// Bytes, and the token of each; -1 where the vocabulary has none.
        case bytes([Int32])
        /// Characters, and what stands for those that the vocabulary lacks.
        case characters(bytes: [Int32]?, unknown: Int32?, fusesUnknown: Bool)
    }

    private struct Merge: Sendable {
        let rank: UInt32
        let id: Int32
    }

    private let symbols: Symbols
    /// Tokens by the bytes of the text that they are; only where words or characters are looked up.
    private let vocabulary: [ByteString: Int32]
    private let merges: [UInt64: Merge]
    private let takesWholeWords: Bool

    /// The id for what the vocabulary lacks.
    let unknownID: Int?

    /// Reads the `model` of `tokenizer.json`.
    ///
    /// - Parameters:
    ///   - tokens: Its `vocab`.
    ///   - isByteLevel: Whether the vocabulary spells bytes with ``ByteLevelAlphabet``.
    /// - Throws: ``TokenizerError`` that names the field.
    init(_ field: JSONField, tokens: TokenTable, isByteLevel: Bool) throws(TokenizerError) {
        for name in ["continuing_subword_prefix", "end_of_word_suffix"] {
            if let affix = try field.optional(name), try !affix.bytes().isEmpty {
                throw affix.error(.unsupported, "expected none")
            }
        }
        if let dropout = try field.optional("dropout"), case .number(let digits) = dropout.value,
            Double(String(decoding: digits, as: UTF8.self)) != 0
        {
            throw dropout.error(.unsupported, "expected none: the ids of a text would be random")
        }
        var unknown: Int32?
        if let name = try field.optional("unk_token") {
            guard let id = tokens.id(try name.bytes()) else {
                throw name.error(.invalidFile, "'\(try name.string())' is not in the vocabulary")
            }
            unknown = id
        }
        unknownID = unknown.map(Int.init)
        takesWholeWords = try field.optional("ignore_merges")?.bool() ?? false
        if isByteLevel {
            symbols = .bytes(ByteLevelAlphabet.spellings.map { tokens.id($0[...]) ?? -1 })
        } else {
            var bytes: [Int32]?
            if try field.optional("byte_fallback")?.bool() ?? false {
                bytes = (0...255).map { tokens.id(BytePairModel.spelling(ofByte: UInt8($0))[...]) ?? -1 }
            }
            let fuses = try field.optional("fuse_unk")?.bool() ?? false
            symbols = .characters(bytes: bytes, unknown: unknown, fusesUnknown: fuses)
        }
        if isByteLevel, takesWholeWords {
            var words: [ByteString: Int32] = [:]
            words.reserveCapacity(tokens.ids.count)
            for (spelling, id) in tokens.ids {
                if let bytes = ByteLevelAlphabet.bytes(of: spelling.bytes) { words[ByteString(bytes[...])] = id }
            }
            vocabulary = words
        } else {
            vocabulary = isByteLevel ? [:] : tokens.ids
        }
        merges = try BytePairModel.merges(field.required("merges"), tokens: tokens)
    }

    /// How a vocabulary with byte fallback writes a byte: `<0x0A>`.
    private static func spelling(ofByte byte: UInt8) -> [UInt8] {
        let digits = String(byte, radix: 16, uppercase: true)
        return Array("<0x\(digits.count == 1 ? "0" : "")\(digits)>".utf8)
    }

    /// Reads merges, each `"a b"` or `["a", "b"]`.
    private static func merges(_ field: JSONField, tokens: TokenTable) throws(TokenizerError) -> [UInt64: Merge] {
        guard case .array(let elements) = field.value else {
            throw field.error(.invalidFile, "expected an array, found \(field.value.kind)")
        }
        var merges: [UInt64: Merge] = [:]
        merges.reserveCapacity(elements.count)
        for (rank, element) in elements.enumerated() {
            func invalid(_ problem: String) -> TokenizerError {
                JSONField(element, path: "\(field.path)[\(rank)]").error(.invalidFile, problem)
            }
            let left: ArraySlice<UInt8>
            let right: ArraySlice<UInt8>
            switch element {
            case .string(let pair):
                let space = UInt8(ascii: " ")
                guard let middle = pair.firstIndex(of: space), !pair[(middle + 1)...].contains(space) else {
                    throw invalid("expected two tokens with a space between them")
                }
                (left, right) = (pair[..<middle], pair[(middle + 1)...])
            case .array(let pair):
                guard pair.count == 2, case .string(let first) = pair[0], case .string(let second) = pair[1] else {
                    throw invalid("expected two tokens")
                }
                (left, right) = (first, second)
            default: throw invalid("expected two tokens, found \(element.kind)")
            }
            func id(_ spelling: ArraySlice<UInt8>) throws(TokenizerError) -> Int32 {
                guard let id = tokens.id(spelling) else {
                    let name = String(decoding: spelling.prefix(40), as: UTF8.self)
                    throw invalid("'\(name)' is not in the vocabulary")
                }
                return id
            }
            let key = BytePairModel.pair(try id(left), try id(right))
            merges[key] = Merge(rank: UInt32(rank), id: try id(left + right))
        }
        return merges
    }

    private static func pair(_ left: Int32, _ right: Int32) -> UInt64 {
        UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
    }

    // MARK: Encoding

    /// What is used again from word to word.
    struct Workspace {
        fileprivate var nodes: [Node] = []
        fileprivate var queue = MergeQueue()
        /// Where in the ids a word stands already.
        fileprivate var seen: [ByteString: Range<Int>] = [:]

        /// Words up to this length are looked up when they come again, in bytes.
        static let longestSeen = 64

        /// Makes an empty one, for ids that begin anew.
        init() {}
    }

    fileprivate struct Node {
        var id: Int32
        var previous: Int32
        /// -1 at the end; a node that was merged into its left neighbour has the id -1.
        var next: Int32
    }

    /// Appends the ids of a word.
    ///
    /// - Parameters:
    ///   - word: The bytes of the text.
    ///   - ids: Since the workspace was made, nothing was taken out of them.
    /// - Throws: ``TokenizerError`` of kind `processing` when the vocabulary lacks a byte and has no unknown token.
    func encode(
        _ word: ArraySlice<UInt8>,
        into ids: inout [Int],
        _ workspace: inout Workspace
    ) throws(TokenizerError) {
        if takesWholeWords, let id = vocabulary[ByteString(word)] {
            ids.append(Int(id))
            return
        }
        let isShort = word.count <= Workspace.longestSeen
        if isShort, let range = workspace.seen[ByteString(word)] {
            ids.append(contentsOf: ids[range])
            return
        }
        let start = ids.count
        try setNodes(of: word, &workspace.nodes)
        merge(&workspace)
        var index: Int32 = workspace.nodes.isEmpty ? -1 : 0
        while index >= 0 {
            let node = workspace.nodes[Int(index)]
            ids.append(Int(node.id))
            index = node.next
        }
        if isShort { workspace.seen[ByteString(word)] = start..<ids.count }
    }

    private func setNodes(of word: ArraySlice<UInt8>, _ nodes: inout [Node]) throws(TokenizerError) {
        nodes.removeAll(keepingCapacity: true)
        func add(_ id: Int32) {
            let index = Int32(nodes.count)
            nodes.append(Node(id: id, previous: index - 1, next: index + 1))
        }
        switch symbols {
        case .bytes(let table):
            for byte in word {
                if table[Int(byte)] >= 0 {
                    add(table[Int(byte)])
                } else if let unknownID {
                    add(Int32(unknownID))
                } else {
                    throw TokenizerError(.processing, "the vocabulary has no token for the byte \(byte)")
                }
            }
        case .characters(let bytes, let unknown, let fusesUnknown):
            var position = word.startIndex
            var previousIsUnknown = false
            while position < word.endIndex {
                var end = position + 1
                while end < word.endIndex, word[end] & 0xC0 == 0x80 { end += 1 }
                let character = word[position..<end]
                position = end
                if let id = vocabulary[ByteString(character)] {
                    add(id)
                    previousIsUnknown = false
                } else if let bytes, character.allSatisfy({ bytes[Int($0)] >= 0 }) {
                    for byte in character { add(bytes[Int(byte)]) }
                    previousIsUnknown = false
                } else if let unknown {
                    if !(fusesUnknown && previousIsUnknown) { add(unknown) }
                    previousIsUnknown = true
                } else {
                    throw TokenizerError(.processing, "the vocabulary lacks a character and has no unknown token")
                }
            }
        }
        if !nodes.isEmpty { nodes[nodes.count - 1].next = -1 }
    }

    private func merge(_ workspace: inout Workspace) {
        guard workspace.nodes.count > 1 else { return }
        workspace.queue.removeAll()
        func offer(_ left: Int32, _ nodes: [Node], _ queue: inout MergeQueue) {
            let node = nodes[Int(left)]
            guard node.next >= 0, let merge = merges[BytePairModel.pair(node.id, nodes[Int(node.next)].id)] else {
                return
            }
            queue.push(MergeQueue.Entry(rank: merge.rank, place: UInt32(left), id: merge.id))
        }
        for index in 0..<Int32(workspace.nodes.count - 1) { offer(index, workspace.nodes, &workspace.queue) }
        while let entry = workspace.queue.pop() {
            let left = Int(entry.place)
            let node = workspace.nodes[left]
            // What was merged in the meantime is stale.
            guard node.id >= 0, node.next >= 0,
                let merge = merges[BytePairModel.pair(node.id, workspace.nodes[Int(node.next)].id)],
                merge.id == entry.id
            else { continue }
            let right = Int(node.next)
            let next = workspace.nodes[right].next
            workspace.nodes[left].id = entry.id
            workspace.nodes[left].next = next
            workspace.nodes[right].id = -1
            if next >= 0 { workspace.nodes[Int(next)].previous = Int32(left) }
            if node.previous >= 0 { offer(node.previous, workspace.nodes, &workspace.queue) }
            offer(Int32(left), workspace.nodes, &workspace.queue)
        }
    }
}

/// Merges that are possible: the lowest rank first, then the leftmost.
private struct MergeQueue {
    struct Entry {
        /// The rank, then the place.
        let order: UInt64
        let id: Int32

        init(rank: UInt32, place: UInt32, id: Int32) {
            order = UInt64(rank) << 32 | UInt64(place)
            self.id = id
        }

        var place: UInt32 { UInt32(truncatingIfNeeded: order) }
    }

    private var heap: [Entry] = []

    mutating func removeAll() { heap.removeAll(keepingCapacity: true) }

    mutating func push(_ entry: Entry) {
        heap.append(entry)
        var child = heap.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            if heap[parent].order <= entry.order { break }
            heap[child] = heap[parent]
            child = parent
        }
        heap[child] = entry
    }

    mutating func pop() -> Entry? {
        guard let first = heap.first, let last = heap.popLast() else { return nil }
        if heap.isEmpty { return first }
        var parent = 0
        while true {
            var child = 2 * parent + 1
            if child >= heap.count { break }
            if child + 1 < heap.count, heap[child + 1].order < heap[child].order { child += 1 }
            if last.order <= heap[child].order { break }
            heap[parent] = heap[child]
            parent = child
        }
        heap[parent] = last
        return first
    }
}
