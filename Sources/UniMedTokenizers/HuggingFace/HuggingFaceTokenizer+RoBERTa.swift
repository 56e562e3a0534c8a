public import Foundation

extension HuggingFaceTokenizer {
    /// Reads the tokenizer of a RoBERTa folder: `tokenizer.json`, or else `vocab.json` with `merges.txt`.
    ///
    /// Published folders often do not name their special tokens; they are then `<s>`, `</s>`, `<pad>` and `<unk>`.
    ///
    /// - Throws: ``TokenizerError`` that names the file and the field.
    public init(robertaFolder folder: URL) throws(TokenizerError) {
        var settings = try TokenizerSettings(folder: folder)
        if settings.bos == nil { settings.bos = "<s>" }
        if settings.eos == nil { settings.eos = "</s>" }
        if settings.pad == nil { settings.pad = "<pad>" }
        if settings.unknown == nil { settings.unknown = "<unk>" }
        let single = folder.appending(path: "tokenizer.json")
        let (file, data): (URL, Data)
        if FileManager.default.fileExists(atPath: single.path) {
            (file, data) = (single, try TokenizerFile.read(single))
        } else {
            file = folder.appending(path: "vocab.json")
            guard FileManager.default.fileExists(atPath: file.path) else {
                throw TokenizerError(
                    .unreadableFile,
                    file: folder.path,
                    "there is no tokenizer.json and no vocab.json with merges.txt in it"
                )
            }
            data = try HuggingFaceTokenizer.tokenizerFile(
                vocabulary: file,
                merges: folder.appending(path: "merges.txt")
            )
        }
        do throws(TokenizerError) {
            try self.init(data: data, settings: settings)
        } catch {
            throw TokenizerError(error.kind, file: file.path, error.detail)
        }
    }

    /// The `tokenizer.json` of a vocabulary and its merges, as GPT-2 and RoBERTa were first published.
    private static func tokenizerFile(vocabulary: URL, merges: URL) throws(TokenizerError) -> Data {
        let table = try TokenizerFile.read(vocabulary)
        let lines = String(decoding: try TokenizerFile.read(merges), as: UTF8.self).split(separator: "\n")
            .map { $0.last == "\r" ? $0.dropLast() : $0 }
        let pairs = lines.enumerated().filter { !($0 == 0 && $1.hasPrefix("#version")) }.map { String($1) }
        var added: [[String: JSONScalar]] = []
        do throws(TokenizerError) {
            let members = try TokenTable(JSONField(JSONValue(parsing: table)))
            for name in ["<s>", "<pad>", "</s>", "<unk>", "<mask>"] {
                guard let id = members.id(Array(name.utf8)[...]) else { continue }
                added.append([
                    "id": .number(Int(id)), "content": .text(name), "single_word": .flag(false),
                    // The gap in a sentence takes the space in front of it.
                    "lstrip": .flag(name == "<mask>"), "rstrip": .flag(false), "normalized": .flag(false),
                    "special": .flag(true),
                ])
            }
        } catch {
            throw TokenizerError(error.kind, file: vocabulary.path, error.detail)
        }
        let encoder = JSONEncoder()
        let (mergeList, addedList): (Data, Data)
        do {
            (mergeList, addedList) = (try encoder.encode(pairs), try encoder.encode(added))
        } catch {
            throw TokenizerError(.invalidFile, file: merges.path, "\(error)")
        }
        var data = Data(#"{"added_tokens":"#.utf8)
        data += addedList
        data += Data(#","pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false,"use_regex":true},"#.utf8)
        data += Data(#""decoder":{"type":"ByteLevel"},"model":{"type":"BPE","merges":"#.utf8)
        data += mergeList
        data += Data(#","vocab":"#.utf8)
        data += table
        data += Data("}}".utf8)
        return data
    }

    private enum JSONScalar: Encodable {
        case number(Int)
        case text(String)
        case flag(Bool)

        func encode(to encoder: any Encoder) throws {
            var container = encoder.singleValueContainer()
            switch self {
            case .number(let value): try container.encode(value)
            case .text(let value): try container.encode(value)
            case .flag(let value): try container.encode(value)
            }
        }
    }
}
