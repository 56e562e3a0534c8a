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
