public import Foundation

/// Whose rules apply where a tokenizer's files leave room.
public enum TokenizerConvention: Sendable {
    /// Those of the published Uni-Med code: Llama's tokenizer as in transformers 4.30, and `$$` as its pad token where
    /// the vocabulary has that piece.
    case published
    /// What the files beside the vocabulary say.
    case configured
}

/// The forms of a vocabulary's file: the registry of what can be opened.
public enum TokenizerForm: String, CaseIterable, Sendable {
    /// A SentencePiece model.
    case sentencePiece = "tokenizer.model"
    /// The file of Hugging Face's tokenizers library.
    case huggingFace = "tokenizer.json"

    /// The usual name of its file.
    public var fileName: String { rawValue }

    /// Opens the tokenizer of a checkpoint folder, or a vocabulary's file.
    ///
    /// Of a folder it takes the first file that is there, in the order of the cases: where both are, the SentencePiece
    /// model, whose ids the published code uses. The small files of ``TokenizerSettings`` are read from the same folder.
    ///
    /// - Parameters:
    ///   - location: A folder, or a file with any name: JSON begins with `{`. One of the small files stands for its
    ///     folder.
    ///   - convention: Default: the published code's.
    /// - Throws: ``TokenizerError`` that names the file and the field.
    public static func open(
        _ location: URL,
        convention: TokenizerConvention = .published
    ) throws(TokenizerError) -> any CheckpointTokenizer {
        let manager = FileManager.default
        var isFolder: ObjCBool = false
        guard manager.fileExists(atPath: location.path, isDirectory: &isFolder) else {
            throw TokenizerError(.unreadableFile, file: location.path, "there is no such file or folder")
        }
        var location = location
        if !isFolder.boolValue, TokenizerSettings.fileNames.contains(location.lastPathComponent) {
            location = location.deletingLastPathComponent()
            isFolder = true
        }
        guard isFolder.boolValue else { return try open(file: location, convention: convention) }
        for form in allCases {
            let file = location.appending(path: form.fileName)
            if manager.fileExists(atPath: file.path) { return try open(file: file, convention: convention) }
        }
        let names = allCases.map(\.fileName).joined(separator: " or ")
        throw TokenizerError(.unreadableFile, file: location.path, "there is no \(names) in it")
    }

    private static func open(
        file: URL,
        convention: TokenizerConvention
    ) throws(TokenizerError) -> any CheckpointTokenizer {
        let folder = file.deletingLastPathComponent()
        let data = try TokenizerFile.read(file)
        let settings = try TokenizerSettings(folder: folder)
        let companions = try TokenizerSettings.files(in: folder)
        do throws(TokenizerError) {
            // A model's first byte is the tag of a field, never a brace.
            if data.first == UInt8(ascii: "{") {
                return try HuggingFaceTokenizer(data: data, settings: settings, companions: companions)
            }
            guard !TokenizerFile.isTiktoken(data) else {
                throw TokenizerError(
                    .unsupported,
                    "a tiktoken vocabulary; the tokenizer.json of the same model is read"
                )
            }
            return try LlamaTokenizer(
                model: SentencePieceTokenizer(model: data),
                settings: settings,
                convention: convention,
                companions: companions
            )
        } catch {
            throw TokenizerError(error.kind, file: error.file ?? file.path, error.detail)
        }
    }
}

/// Reads the files of tokenizers.
enum TokenizerFile {
    /// The contents of a file.
    static func read(_ file: URL) throws(TokenizerError) -> Data {
        do {
            return try Data(contentsOf: file)
        } catch {
            throw TokenizerError(.unreadableFile, file: file.path, error.localizedDescription)
        }
    }

    /// Whether the first line is a token in base 64 and its rank, as in the `tokenizer.model` of Llama 3's own folders.
    static func isTiktoken(_ data: Data) -> Bool {
        let line = data.prefix(1024).prefix { $0 != UInt8(ascii: "\n") }
        let parts = String(decoding: line, as: UTF8.self).split(separator: " ", omittingEmptySubsequences: false)
        return parts.count == 2 && Int(parts[1]) != nil && Data(base64Encoded: String(parts[0])) != nil
    }
}
