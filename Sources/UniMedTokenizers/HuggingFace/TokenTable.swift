/// Bytes as the key of a dictionary.
///
/// Unlike strings, two spellings of one character are two keys.
struct ByteString: Hashable, Sendable {
    let bytes: ArraySlice<UInt8>

    init(_ bytes: ArraySlice<UInt8>) { self.bytes = bytes }
    init(_ text: String) { bytes = Array(text.utf8)[...] }

    static func == (first: ByteString, second: ByteString) -> Bool { first.bytes.elementsEqual(second.bytes) }

    func hash(into hasher: inout Hasher) {
        bytes.withUnsafeBytes { hasher.combine(bytes: $0) }
    }
}

/// The tokens of a vocabulary, as the file spells them, by id and back.
struct TokenTable: Sendable {
    /// There are fewer ids than this.
    static let maximumCount = 1 << 24
    /// So many ids may belong to no token, beside as many as there are tokens.
    private static let holes = 1 << 16

    /// The spelling of every id; `nil` where no token has the id.
    private(set) var spellings: [ArraySlice<UInt8>?] = []
    /// The id of every spelling.
    private(set) var ids: [ByteString: Int32] = [:]
    /// Ids are less than this, so that one wrong number does not take the memory of millions.
    private let limit: Int

    /// Reads the object of a vocabulary: a token's spelling and its id.
    init(_ field: JSONField) throws(TokenizerError) {
        let members = try field.members()
        guard !members.isEmpty else { throw field.error(.invalidFile, "it is empty") }
        limit = min(TokenTable.maximumCount, 2 * members.count + TokenTable.holes)
        ids.reserveCapacity(members.count)
        spellings.reserveCapacity(members.count)
        for (name, value) in members {
            func place() -> JSONField {
                JSONField(value, path: "\(field.path)['\(String(decoding: name.prefix(40), as: UTF8.self))']")
            }
            if let id = JSONField(value).tokenIDOrNil() {
                try add(name, id: id, place: place)
            } else {
                try add(name, id: try place().tokenID(), place: place)
            }
        }
    }

    /// Adds a token; the same token with the same id may come again.
    mutating func add(
        _ spelling: ArraySlice<UInt8>,
        id: Int,
        place: () -> JSONField
    ) throws(TokenizerError) {
        let key = ByteString(spelling)
        if let known = ids[key] {
            guard known == id, spellings[id] == spelling else {
                throw place().error(.invalidFile, "the token has the ids \(known) and \(id)")
            }
            return
        }
        guard id < limit else {
            throw place().error(.invalidFile, "the id \(id), expected less than \(limit) with so few tokens")
        }
        if id >= spellings.count { spellings += [ArraySlice<UInt8>?](repeating: nil, count: id + 1 - spellings.count) }
        guard spellings[id] == nil else { throw place().error(.invalidFile, "another token has the id \(id)") }
        spellings[id] = spelling
        ids[key] = Int32(id)
    }

    /// The id of a spelling.
    func id(_ spelling: ArraySlice<UInt8>) -> Int32? { ids[ByteString(spelling)] }
}

extension JSONField {
    /// An id, `nil` where it is none; quick for long vocabularies.
    fileprivate func tokenIDOrNil() -> Int? {
        guard case .number(let digits) = value, digits.count <= 8 else { return nil }
        var id = 0
        for digit in digits {
            guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(digit) else { return nil }
            id = id * 10 + Int(digit - UInt8(ascii: "0"))
        }
        return id < TokenTable.maximumCount ? id : nil
    }
}
