import Foundation

/// Checks what the SentencePiece library trusts in a model file.
///
/// The library parses the protocol buffer safely but then walks the normalizer's precompiled table (a double-array
/// trie and the texts it points to) without looking at its bounds, so a damaged table would read foreign memory.
enum SentencePieceModelCheck {
    /// The largest model that is accepted, in bytes.
    static let maximumSize = 1 << 29

    /// Throws when the bytes are not the fields of a model with at least one piece, or its tables leave their bounds.
    static func check(_ model: Data) throws(TokenizerError) {
        guard !model.isEmpty else { throw TokenizerError(.invalidModel, "the file is empty") }
        guard model.count <= maximumSize else {
            throw TokenizerError(.invalidModel, "\(model.count) bytes, expected at most \(maximumSize)")
        }
        var hasPiece = false
        for field in try fields(of: model[...]) {
            switch field.number {
            case 1: hasPiece = true
            case 3, 5:
                for inner in try fields(of: field.bytes) where inner.number == 2 {
                    try checkPrecompiledTable([UInt8](inner.bytes))
                }
            default: break
            }
        }
        guard hasPiece else { throw TokenizerError(.invalidModel, "it has no pieces") }
    }

    private struct Field {
        let number: UInt64
        let bytes: Data
    }

    /// The fields of a protocol buffer message; fields that hold numbers have no bytes.
    private static func fields(of message: Data) throws(TokenizerError) -> [Field] {
        var fields: [Field] = []
        var position = message.startIndex
        func number() throws(TokenizerError) -> UInt64 {
            var value: UInt64 = 0
            for shift in stride(from: 0, to: 64, by: 7) {
                guard position < message.endIndex else { throw cut() }
                let byte = message[position]
                position += 1
                value |= UInt64(byte & 0x7F) << UInt64(shift)
                if byte < 0x80 { return value }
            }
            throw TokenizerError(.invalidModel, "a number at byte \(position) is longer than 64 bits")
        }
        func take(_ count: UInt64) throws(TokenizerError) -> Data {
            guard count <= UInt64(message.endIndex - position) else { throw cut() }
            defer { position += Int(count) }
            return message[position..<position + Int(count)]
        }
        func cut() -> TokenizerError {
            TokenizerError(.invalidModel, "it ends within a field that begins before byte \(position)")
        }
        while position < message.endIndex {
            let tag = try number()
            switch tag & 7 {
            case 0: _ = try number()
            case 1: _ = try take(8)
            case 2: fields.append(Field(number: tag >> 3, bytes: try take(try number())))
            case 5: _ = try take(4)
            default: throw TokenizerError(.invalidModel, "byte \(position) begins no field of a model")
            }
        }
        return fields
    }

    /// Checks that every way through the trie, and every text that it points to, stays inside the table.
    private static func checkPrecompiledTable(_ table: [UInt8]) throws(TokenizerError) {
        if table.isEmpty { return }
        func word(_ offset: Int) -> UInt32 {
            (0..<4).reduce(UInt32(0)) { $0 | UInt32(table[offset + $1]) << UInt32(8 * $1) }
        }
        let broken = TokenizerError(.invalidModel, "the normalizer's precompiled table is damaged")
        guard table.count > 4 else { throw broken }
        let trieSize = Int(word(0))
        guard trieSize >= 4, trieSize % 4 == 0, trieSize < table.count - 4 else { throw broken }
        let units = trieSize / 4
        let textSize = table.count - 4 - trieSize
        guard table.last == 0 else { throw broken }
        for index in 0..<units {
            let unit = word(4 + 4 * index)
            if unit >> 31 == 1 {
                // A leaf: the offset of a text that ends with a zero byte.
                guard Int(unit & 0x7FFF_FFFF) < textSize else { throw broken }
            } else {
                // A node: its children are at `index ^ offset ^ label`.
                let offset = Int((unit >> 10) << ((unit & (1 << 9)) >> 6))
                guard (index ^ offset) | 0xFF < units else { throw broken }
            }
        }
    }
}
