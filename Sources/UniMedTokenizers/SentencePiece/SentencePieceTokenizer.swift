private import CSentencePiece
public import Foundation

/// A SentencePiece model: text to ids and back, exactly as the SentencePiece library does it.
///
/// Names of special pieces in a text (such as `</s>`) are ordinary characters here; ``LlamaTokenizer`` gives them their
/// ids. The model is kept as the library reads it: dummy prefix, normalization and byte fallback are its own.
///
/// `@unchecked Sendable`: the library's model is not changed after loading, and reading it is safe from several threads.
public final class SentencePieceTokenizer: @unchecked Sendable {
    /// The serialized model, as it was loaded.
    public let serializedModel: Data

    /// The number of pieces; every id is in `0..<vocabularySize`.
    public let vocabularySize: Int

    /// The id of the unknown piece.
    public let unknownID: Int

    /// The id of the piece that begins a sequence, `nil` when the model has none.
    public let bosID: Int?

    /// The id of the piece that ends a sequence, `nil` when the model has none.
    public let eosID: Int?

    /// The id of the model's own padding piece, `nil` when it has none (as Llama's).
    public let padID: Int?

    private let processor: OpaquePointer

    /// Loads a model file (usually called `tokenizer.model`).
    ///
    /// - Throws: ``TokenizerError`` of kind `unreadableFile` or `invalidModel`, which names the file.
    public convenience init(contentsOf file: URL) throws(TokenizerError) {
        let data: Data
        do {
            data = try Data(contentsOf: file)
        } catch {
            throw TokenizerError(.unreadableFile, file: file.path, error.localizedDescription)
        }
        do {
            try self.init(model: data)
        } catch {
            throw TokenizerError(error.kind, file: file.path, error.detail)
        }
    }

    /// Loads a serialized model.
    ///
    /// - Throws: ``TokenizerError`` of kind `invalidModel` when the bytes are cut, damaged or something else.
    public init(model: Data) throws(TokenizerError) {
        try SentencePieceModelCheck.check(model)
        var loaded: OpaquePointer?
        let status = model.withUnsafeBytes { bytes in
            bytes.baseAddress.map { csp_processor_load($0, bytes.count, &loaded) } ?? 1
        }
        guard status == 0, let loaded else {
            throw TokenizerError(.invalidModel, SentencePieceMessage.last)
        }
        func optional(_ id: Int32) -> Int? { id >= 0 ? Int(id) : nil }
        processor = loaded
        serializedModel = model
        vocabularySize = Int(csp_piece_count(loaded))
        unknownID = Int(csp_unknown_id(loaded))
        bosID = optional(csp_bos_id(loaded))
        eosID = optional(csp_eos_id(loaded))
        padID = optional(csp_pad_id(loaded))
    }

    deinit { csp_processor_free(processor) }

    /// The same model without the space that it puts in front of every text.
    ///
    /// - Throws: ``TokenizerError`` of kind `invalidModel` when the library refuses it.
    func withoutDummyPrefix() throws(TokenizerError) -> SentencePieceTokenizer {
        // A field that comes again overrules the first: field 3 (normalizer) with its field 3 (dummy prefix) off.
        try SentencePieceTokenizer(model: serializedModel + Data([0x1A, 2, 0x18, 0]))
    }

    /// Turns a text into ids, without any special ids.
    ///
    /// - Throws: ``TokenizerError`` of kind `processing` when the library fails.
    public func encode(_ text: String) throws(TokenizerError) -> [Int] {
        var text = text
        var ids: UnsafeMutablePointer<Int32>?
        var count = 0
        let status = withExtendedLifetime(self) {
            text.withUTF8 { utf8 in
                utf8.withMemoryRebound(to: CChar.self) { bytes in
                    csp_encode(processor, bytes.baseAddress, bytes.count, &ids, &count)
                }
            }
        }
        guard status == 0, let ids else {
            throw TokenizerError(.processing, SentencePieceMessage.last)
        }
        defer { csp_ids_free(ids) }
        return UnsafeBufferPointer(start: ids, count: count).map(Int.init)
    }

    /// Turns ids into text; bytes that are not UTF-8 become U+FFFD.
    ///
    /// - Throws: ``TokenizerError`` of kind `unknownID` when an id is outside `0..<vocabularySize`.
    public func decode(_ ids: some Sequence<Int>) throws(TokenizerError) -> String {
        var narrow: [Int32] = []
        for id in ids {
            try check(id)
            narrow.append(Int32(truncatingIfNeeded: id))
        }
        var text: UnsafeMutablePointer<CChar>?
        var length = 0
        let status = withExtendedLifetime(self) {
            narrow.withUnsafeBufferPointer { csp_decode(processor, $0.baseAddress, $0.count, &text, &length) }
        }
        guard status == 0, let text else {
            throw TokenizerError(.processing, SentencePieceMessage.last)
        }
        defer { csp_bytes_free(text) }
        return String(decoding: UnsafeRawBufferPointer(start: text, count: length), as: UTF8.self)
    }

    /// The text of a piece, with U+2581 for a space.
    ///
    /// - Throws: ``TokenizerError`` of kind `unknownID` when the id is outside `0..<vocabularySize`.
    public func piece(_ id: Int) throws(TokenizerError) -> String {
        try check(id)
        var text: UnsafePointer<CChar>?
        var length = 0
        return withExtendedLifetime(self) {
            _ = csp_piece(processor, Int32(id), &text, &length)
            return String(decoding: UnsafeRawBufferPointer(start: text, count: length), as: UTF8.self)
        }
    }

    /// The pieces of a text, as ``piece(_:)`` writes them.
    ///
    /// - Throws: ``TokenizerError`` of kind `processing` when the library fails.
    public func pieces(of text: String) throws(TokenizerError) -> [String] {
        var pieces: [String] = []
        for id in try encode(text) { pieces.append(try piece(id)) }
        return pieces
    }

    /// The id of a piece as ``piece(_:)`` writes it, `nil` when there is no such piece.
    public func id(ofPiece piece: String) -> Int? {
        var text = piece
        let id = withExtendedLifetime(self) {
            text.withUTF8 { utf8 in
                utf8.withMemoryRebound(to: CChar.self) { bytes -> Int? in
                    bytes.baseAddress.map { Int(csp_piece_id(processor, $0, bytes.count)) }
                }
            }
        }
        // The library answers with the unknown id where it knows no piece.
        guard let id, id != unknownID || (try? self.piece(id)) == piece else { return nil }
        return id
    }

    private func check(_ id: Int) throws(TokenizerError) {
        guard id >= 0, id < vocabularySize else {
            throw TokenizerError(.unknownID, "\(id), expected one of 0..<\(vocabularySize)")
        }
    }
}

/// What the library says about failures.
enum SentencePieceMessage {
    /// Why the last call on this thread failed, without the place in the library's source.
    static var last: String {
        let message = String(cString: csp_last_error())
        guard message.hasPrefix("./") || message.hasPrefix("src/"), let end = message.range(of: "] ") else {
            return message
        }
        let reason = message[end.upperBound...].trimmingCharacters(in: .whitespacesAndNewlines)
        return reason.isEmpty ? message : reason
    }
}
