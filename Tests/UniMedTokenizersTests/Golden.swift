import Foundation

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
    }
}

/// A record of ids to decode.
struct LlamaDecodeCase: Decodable {
    let ids: [Int]
    let sentencePieceDecoded: String
    let decoded: String
    let decodedSkippingSpecial: String

    enum CodingKeys: String, CodingKey {
        case ids
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
