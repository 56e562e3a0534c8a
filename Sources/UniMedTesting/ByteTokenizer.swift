public import UniMedTokenizers

/// A tokenizer whose ids are the bytes of a text, after unknown, begin, end and pad.
public struct ByteTokenizer: Tokenizer {
    /// The number of ids.
    public static let size = 4 + 256

    /// Makes a tokenizer.
    public init() {}

    /// 260.
    public var vocabularySize: Int { ByteTokenizer.size }
    /// 1.
    public var bosID: Int? { 1 }
    /// 2.
    public var eosID: Int { 2 }
    /// 3.
    public var padID: Int { 3 }

    /// The bytes of a text; `<s>` and `</s>` stand for their ids.
    public func encode(_ text: String, addBOS: Bool) throws(TokenizerError) -> [Int] {
        var ids = addBOS ? [1] : []
        var rest = text.utf8[...]
        while let byte = rest.first {
            if let (name, id) = [("<s>", 1), ("</s>", eosID)].first(where: { rest.starts(with: $0.0.utf8) }) {
                ids.append(id)
                rest = rest.dropFirst(name.utf8.count)
            } else {
                ids.append(4 + Int(byte))
                rest = rest.dropFirst()
            }
        }
        return ids
    }

    /// The text of bytes; special ids have none.
    public func decode(_ ids: [Int], skippingSpecialTokens: Bool) throws(TokenizerError) -> String {
        String(decoding: ids.compactMap { UInt8(exactly: $0 - 4) }, as: UTF8.self)
    }
}
