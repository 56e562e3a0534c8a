import Foundation
import UniMedTokenizers

extension FuzzFormat {
    /// SentencePiece models: the whole file, or one field of the message with a length that fits.
    static let sentencePiece = FuzzFormat(
        name: "sentencepiece",
        corpus: {
            let model = try SentencePieceTrainer.train(
                texts: (0..<200).map {
                    "The \($0). CT slice of the left lung shows a nodule of \($0 * 7 % 31) mm <\($0)>"
                },
                vocabularySize: 400,
                acceptsFewerPieces: true
            )
            // Field 2 is how the model was trained, and field 3 of it the kind: pieces by likelihood, by merging, words,
            // characters. The last value counts.
            let kinds = (2...4).map { kind in model + Data([0x12, 2, 0x18, UInt8(kind)]) }
            return [model] + kinds
        },
        damage: { file, others, generator in
            guard var fields = MessageField.fields(of: file), !fields.isEmpty, Bool.random(using: &generator) else {
                return Mutation.damaged(file, others: others, using: &generator)
            }
            for _ in 0..<([1, 1, 3].randomElement(using: &generator) ?? 1) {
                // The last fields say how the model works, the many before them are pieces.
                let isLast = Bool.random(using: &generator)
                let range = isLast ? max(0, fields.count - 4)..<fields.count : 0..<fields.count
                let index = Int.random(in: range, using: &generator)
                switch Int.random(in: 0..<6, using: &generator) {
                case 0 where fields.count > 1: fields.remove(at: index)
                case 1: fields.insert(fields[index], at: Int.random(in: 0...fields.count, using: &generator))
                case 2: fields[index].tag = UInt8.random(in: 1...7, using: &generator) << 3 | 2
                default:
                    fields[index].bytes = Mutation.damaged(
                        fields[index].bytes,
                        others: fields.suffix(4).map(\.bytes),
                        using: &generator
                    )
                }
            }
            return MessageField.message(of: fields)
        },
        read: { file, _ in
            do {
                let tokenizer = try SentencePieceTokenizer(model: file)
                for text in ["[vqa] left lung, 12 mm µ {<5><16>}", "", "\u{0} \u{FFFD} ▁▁ ﬁ ½ 가 😀", "<0x41></s>"] {
                    _ = try tokenizer.decode(tokenizer.encode(text))
                }
                _ = try tokenizer.decode(0..<tokenizer.vocabularySize)
                for id in 0..<tokenizer.vocabularySize { _ = tokenizer.id(ofPiece: try tokenizer.piece(id)) }
                _ = try LlamaTokenizer(model: tokenizer, padPiece: nil).encode("<s>[INST] heart", addBOS: true)
                return .accepted
            } catch is TokenizerError {
                return .refused
            }
        }
    )
}

extension FuzzFormat {
    /// Tokenizers of Hugging Face's library: byte-level merging, and characters with bytes to fall back on.
    static let tokenizerJSON = FuzzFormat(
        name: "tokenizer-json",
        corpus: {
            [
                Data(byteLevelTokenizer(regularExpression: nil).utf8),
                Data(
                    byteLevelTokenizer(regularExpression: #"(?i:'s|'t)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|\\s+"#)
                        .utf8
                ),
                Data(characterTokenizer.utf8),
            ]
        },
        damage: { Mutation.damaged($0, others: $1, using: &$2) },
        read: { file, _ in
            do {
                let settings = TokenizerSettings(eos: "</s>")
                let tokenizer = try HuggingFaceTokenizer(data: file, settings: settings)
                for text in [
                    "left lung, 12 mm µ </s> {<5><16>}", "", "\u{0}\u{FFFD} ab▁ab ﬁ 가 😀\r\n\n  x", "aaaaaaaaaaaaaaaa",
                ] {
                    _ = try tokenizer.decode(tokenizer.encode(text), skippingSpecialTokens: true)
                }
                for id in 0..<min(tokenizer.vocabularySize, 300) {
                    // Ids without a token are errors of the tokenizer's own.
                    _ = try? tokenizer.decode([id], skippingSpecialTokens: false)
                }
                return .accepted
            } catch is TokenizerError {
                return .refused
            }
        }
    )

    /// The 256 bytes as GPT-2 writes them, some merges, and `</s>`.
    private static func byteLevelTokenizer(regularExpression: String?) -> String {
        let printable = Array(0x21...0x7E) + Array(0xA1...0xAC) + Array(0xAE...0xFF)
        var tokens = (printable + (0x100...0x143)).compactMap { Unicode.Scalar(UInt32($0)) }.map { String($0) }
        let merges = [("l", "u"), ("lu", "n"), ("lun", "g"), ("a", "a"), ("aa", "aa"), ("Ġ", "lung")]
        tokens += merges.map { $0.0 + $0.1 }
        func quoted(_ text: String) -> String {
            "\"" + text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"") + "\""
        }
        let vocabulary = tokens.enumerated().map { "\(quoted($1)): \($0)" }.joined(separator: ", ")
        let list = merges.map { "[\(quoted($0.0)), \(quoted($0.1))]" }.joined(separator: ", ")
        let byteLevel = #"{"type": "ByteLevel", "add_prefix_space": false, "use_regex": \#(regularExpression == nil)}"#
        let split = regularExpression.map { pattern in
            #"{"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"Regex": "\#(pattern)"}, "#
                + #""behavior": "Isolated", "invert": false}, \#(byteLevel)]}"#
        }
        return """
            {"version": "1.0", "normalizer": null, "pre_tokenizer": \(split ?? byteLevel), "post_processor": null,
             "decoder": {"type": "ByteLevel"},
             "added_tokens": [{"id": \(tokens.count), "content": "</s>", "special": true}],
             "model": {"type": "BPE", "vocab": {\(vocabulary)}, "merges": [\(list)]}}
            """
    }

    private static let characterTokenizer = #"""
        {"added_tokens": [{"id": 4, "content": "</s>", "special": true, "lstrip": false, "normalized": false}],
         "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"},
          {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
         "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "</s>", "type_id": 0}},
          {"Sequence": {"id": "A", "type_id": 0}}], "pair": [],
          "special_tokens": {"</s>": {"id": "</s>", "ids": [4], "tokens": ["</s>"]}}},
         "decoder": {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
          {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
         "model": {"type": "BPE", "unk_token": "▁", "byte_fallback": false, "fuse_unk": true,
          "vocab": {"a": 0, "b": 1, "ab": 2, "▁": 3}, "merges": ["a b"]}}
        """#
}

/// One field of a protocol buffer message whose fields all have lengths, as a SentencePiece model's.
private struct MessageField {
    var tag: UInt8
    var bytes: Data

    /// `nil` when the bytes are something else.
    static func fields(of message: Data) -> [MessageField]? {
        let message = [UInt8](message)
        var fields: [MessageField] = []
        var position = 0
        while position < message.count {
            let tag = message[position]
            position += 1
            var (length, shift) = (0, 0)
            while true {
                guard position < message.count, shift < 35 else { return nil }
                let byte = message[position]
                position += 1
                length |= Int(byte & 0x7F) << shift
                shift += 7
                if byte < 0x80 { break }
            }
            guard tag & 7 == 2, tag < 0x80, length <= message.count - position else { return nil }
            fields.append(MessageField(tag: tag, bytes: Data(message[position..<position + length])))
            position += length
        }
        return fields
    }

    static func message(of fields: [MessageField]) -> Data {
        var message = Data()
        for field in fields {
            message.append(field.tag)
            var length = field.bytes.count
            while length >= 0x80 {
                message.append(UInt8(length & 0x7F | 0x80))
                length >>= 7
            }
            message.append(UInt8(length))
            message.append(field.bytes)
        }
        return message
    }
}
