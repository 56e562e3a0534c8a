import Foundation
import Testing
import UniMedTokenizers

/// Where the golden numbers and the development data are.
enum Roots {
    private static let repository = URL(filePath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    private static func root(_ variable: String, _ name: String) -> URL {
        if let path = ProcessInfo.processInfo.environment[variable], !path.isEmpty { return URL(filePath: path) }
        return repository.deletingLastPathComponent().appending(path: "shared/\(name)")
    }

    static let golden = root("UNIMED_GOLDEN", "golden")
    static let data = root("UNIMED_DATA", "data")

    static func exists(_ file: URL) -> Bool { FileManager.default.fileExists(atPath: file.path) }
}

/// A record of `llama2_cases.json`.
struct LlamaCase: Decodable {
    let text: String
    let sentencePieceIDs: [Int]
    let sentencePiecePieces: [String]
    let sentencePieceDecoded: String
    let ids: [Int]
    let idsWithSpecial: [Int]
    let decoded: String
    let decodedSkippingSpecial: String
    let decodedWithSpecial: String
    let idsWithPad: [Int]
    let decodedSkippingPad: String
    let legacyIDs: [Int]
    let legacyIDsWithSpecial: [Int]
    let legacyDecoded: String
    let nonlegacyIDs: [Int]
    let nonlegacyIDsWithSpecial: [Int]
    let nonlegacyDecoded: String

    enum CodingKeys: String, CodingKey {
        case text
        case sentencePieceIDs = "sp_ids"
        case sentencePiecePieces = "sp_pieces"
        case sentencePieceDecoded = "sp_decoded"
        case ids = "slow_430_ids"
        case idsWithSpecial = "slow_430_ids_with_special"
        case decoded = "slow_430_decoded"
        case decodedSkippingSpecial = "slow_430_decoded_skip_special"
        case decodedWithSpecial = "slow_430_decoded_with_special"
        case idsWithPad = "slow_430_ids_pad_is_dollars"
        case decodedSkippingPad = "slow_430_pad_is_dollars_decoded_skip_special"
        case legacyIDs = "slow_444_legacy_ids"
        case legacyIDsWithSpecial = "slow_444_legacy_ids_with_special"
        case legacyDecoded = "slow_444_legacy_decoded"
        case nonlegacyIDs = "slow_444_nonlegacy_ids"
        case nonlegacyIDsWithSpecial = "slow_444_nonlegacy_ids_with_special"
        case nonlegacyDecoded = "slow_444_nonlegacy_decoded"
    }
}

/// A record of ids to decode.
struct LlamaDecodeCase: Decodable {
    let ids: [Int]
    let sentencePieceDecoded: String
    let decoded: String
    let decodedSkippingSpecial: String
    let legacyDecoded: String
    let nonlegacyDecoded: String

    enum CodingKeys: String, CodingKey {
        case ids
        case legacyDecoded = "slow_444_legacy_decoded"
        case nonlegacyDecoded = "slow_444_nonlegacy_decoded"
        case sentencePieceDecoded = "sp_decoded"
        case decoded = "slow_430_decoded"
        case decodedSkippingSpecial = "slow_430_decoded_skip_special"
    }
}

/// `golden/eval/tokenizer/llama2_cases.json`.
struct LlamaCases: Decodable {
    struct Info: Decodable {
        let special: [String: Int]
        let pieces: [String: String]
        let padID: Int
        let vocabularySize: Int

        enum CodingKeys: String, CodingKey {
            case special
            case pieces = "pieces_sample"
            case padID = "pad_token_id_of_dollars"
            case vocabularySize = "vocab_size"
        }
    }

    let info: Info
    let cases: [LlamaCase]
    let decode: [LlamaDecodeCase]

    static let file = Roots.golden.appending(path: "eval/tokenizer/llama2_cases.json")
    static let model = Roots.golden.appending(path: "eval/tokenizer/tokenizer.model")
    static var exist: Bool { Roots.exists(file) && Roots.exists(model) }

    static func load() throws -> LlamaCases {
        try JSONDecoder().decode(LlamaCases.self, from: Data(contentsOf: file))
    }
}

/// `golden/eval/tokenizer/bpe_cases.json`: a tokenizer's cases by its name; its files are in the folder `bpe_<name>`.
struct BytePairCases: Decodable {
    struct Case: Decodable {
        let text: String
        let ids: [Int]
        let tokens: [String]
        let idsWithSpecial: [Int]
        let decoded: String
        let decodedSkippingSpecial: String
        let preTokens: [String]

        enum CodingKeys: String, CodingKey {
            case text, ids, tokens, decoded
            case idsWithSpecial = "ids_with_special"
            case decodedSkippingSpecial = "decoded_skip_special"
            case preTokens = "pre_tokens"
        }
    }

    struct DecodeCase: Decodable {
        let ids: [Int]
        let decoded: String
        let decodedSkippingSpecial: String

        enum CodingKeys: String, CodingKey {
            case ids, decoded
            case decodedSkippingSpecial = "decoded_skip_special"
        }
    }

    struct Chat: Decodable {
        let messages: [ChatMessage]
        let addsGenerationPrompt: Bool
        let rendered: String
        let ids: [Int]

        enum CodingKeys: String, CodingKey {
            case messages, rendered, ids
            case addsGenerationPrompt = "add_generation_prompt"
        }
    }

    let vocabularySize: Int
    let cases: [Case]
    let decode: [DecodeCase]
    let chat: [Chat]

    enum CodingKeys: String, CodingKey {
        case cases, decode, chat
        case vocabularySize = "vocab_size"
    }

    static let file = Roots.golden.appending(path: "eval/tokenizer/bpe_cases.json")

    /// The names of the tokenizers; what else the file holds is no tokenizer.
    static func names() throws -> [String] {
        let root = try JSONSerialization.jsonObject(with: Data(contentsOf: file)) as? [String: Any] ?? [:]
        return root.filter { $0.value is [String: Any] }.keys.sorted()
    }

    static func load(_ name: String) throws -> BytePairCases {
        let root = try JSONDecoder().decode([String: Lenient].self, from: Data(contentsOf: file))
        return try #require(root[name]?.cases, "\(name) in \(file.path)")
    }

    private struct Lenient: Decodable {
        let cases: BytePairCases?

        init(from decoder: any Decoder) throws {
            // Values that are no objects say where the numbers are from.
            guard (try? decoder.container(keyedBy: BytePairCases.CodingKeys.self)) != nil else {
                cases = nil
                return
            }
            cases = try BytePairCases(from: decoder)
        }
    }
}

/// The prompts of `golden/eval/text_processing/cases.json`.
struct PromptCases: Decodable {
    struct Prompt: Decodable {
        let evaluationSegments: [String]
        let evaluationIDs: [[Int]]
        let trainingSegments: [String]
        let trainingIDs: [[Int]]

        enum CodingKeys: String, CodingKey {
            case evaluationSegments = "eval_segments"
            case evaluationIDs = "eval_segment_ids"
            case trainingSegments = "train_segments"
            case trainingIDs = "train_segment_ids"
        }
    }

    struct Target: Decodable {
        let answer: String
        let text: String
        let ids: [Int]
    }

    let prompts: [Prompt]
    let targets: [Target]
    let padToken: String
    let padID: Int

    enum CodingKeys: String, CodingKey {
        case prompts
        case targets = "train_targets"
        case padToken = "pad_token"
        case padID = "pad_token_id"
    }

    static let file = Roots.golden.appending(path: "eval/text_processing/cases.json")
}

/// The bytes of a text: strings that differ in the spelling of a character are equal, their bytes are not.
func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

/// The bytes of texts.
func bytes(_ texts: [String]) -> [[UInt8]] { texts.map { Array($0.utf8) } }
