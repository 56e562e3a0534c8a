public import Foundation
public import Torch
import TorchCheckpoints
import TorchNN
import UniMedMetrics
import UniMedTokenizers

/// An encoder with its tokenizer, as a folder of the transformers library holds them.
public final class TextEncoder {
    /// How texts become token ids.
    enum Form {
        case wordPiece(WordPieceTokenizer)
        case bytePair(HuggingFaceTokenizer, begin: Int, end: Int)
    }

    /// The encoder.
    public let encoder: BERTEncoder
    /// Where the encoder is.
    public let device: Device
    /// The most tokens of a sequence, special tokens included: what the tokenizer says, and at most what the encoder
    /// has positions for.
    public let maximumLength: Int
    let form: Form

    /// How many tokens go through an encoder at once.
    public static let tokenLimit = 8192

    /// Loads `config.json`, the weights and the tokenizer of a folder.
    ///
    /// BERT needs `vocab.txt` or `tokenizer.json`, RoBERTa `tokenizer.json` or `vocab.json` with `merges.txt`.
    ///
    /// - Parameters:
    ///   - folder: The folder.
    ///   - layerCount: How many layers are kept, counted from the first; `nil` keeps all.
    ///   - device: Where the encoder goes.
    /// - Throws: ``ReportMetricError``, which names file and field.
    public init(folder: URL, layerCount: Int? = nil, device: Device = .cpu) throws(ReportMetricError) {
        var configuration = try BERTConfiguration(contentsOf: folder.appending(path: "config.json"))
        let stored = configuration.layerCount
        let kept = layerCount ?? stored
        guard (0...stored).contains(kept) else {
            throw ReportMetricError(
                .invalidInput,
                file: folder.path,
                "layer \(kept) asked for, expected one of 0...\(stored)"
            )
        }
        configuration.layerCount = kept
        let form = try Form(folder: folder, configuration: configuration)
        do throws(CheckpointError) {
            let weights = try Checkpoint.open(folder)
            do throws(TorchError) {
                encoder = try BERTEncoder(configuration, builder: WeightBuilder(device: .meta))
                try encoder.freeze()
            } catch {
                throw CheckpointError(.tensor, file: folder.path, error.description)
            }
            try loadWeights(
                into: encoder,
                from: weights,
                mapping: BERTEncoder.keyMap(droppedLayers: kept..<stored),
                device: device
            )
        } catch {
            throw ReportMetricError(error)
        }
        self.form = form
        self.device = device
        do throws(TokenizerError) {
            let limit = try TokenizerSettings.maximumLength(folder: folder) ?? configuration.maximumLength
            maximumLength = min(limit, configuration.maximumLength)
        } catch {
            throw ReportMetricError(error)
        }
        try form.check(against: configuration, folder: folder)
    }

    /// The ids of a text with the special tokens around it; white space at its ends is left out, and what is longer
    /// than ``maximumLength``.
    public func sequence(of text: String) throws(ReportMetricError) -> [Int] {
        try form.sequence(of: text.referenceTrimmed, maximumLength: maximumLength)
    }
}

extension TextEncoder.Form {
    init(folder: URL, configuration: BERTConfiguration) throws(ReportMetricError) {
        do throws(TokenizerError) {
            switch configuration.family {
            case .bert: self = .wordPiece(try WordPieceTokenizer(folder: folder))
            case .roberta:
                let tokenizer = try HuggingFaceTokenizer(robertaFolder: folder)
                self = .bytePair(tokenizer, begin: tokenizer.bosID ?? tokenizer.eosID, end: tokenizer.eosID)
            }
        } catch {
            throw ReportMetricError(error)
        }
    }

    func check(against configuration: BERTConfiguration, folder: URL) throws(ReportMetricError) {
        let size =
            switch self {
            case .wordPiece(let tokenizer): tokenizer.vocabularySize
            case .bytePair(let tokenizer, _, _): tokenizer.vocabularySize
            }
        guard size <= configuration.vocabularySize else {
            throw ReportMetricError(
                .tokenizer,
                file: folder.path,
                "the tokenizer has \(size) ids, expected at most the encoder's \(configuration.vocabularySize)"
            )
        }
    }

    func sequence(of text: String, maximumLength: Int) throws(ReportMetricError) -> [Int] {
        switch self {
        case .wordPiece(let tokenizer): return tokenizer.encodeSequence(text, maximumLength: maximumLength)
        case .bytePair(let tokenizer, let begin, let end):
            guard !text.isEmpty else { return [begin, end] }
            do throws(TokenizerError) {
                // RoBERTa's first word is spelled as one within a text.
                return try [begin] + tokenizer.encode(" " + text, addBOS: false).prefix(maximumLength - 2) + [end]
            } catch {
                throw ReportMetricError(error)
            }
        }
    }

    /// Special tokens in front and behind.
    var marks: (begin: Int, end: Int) {
        switch self {
        case .wordPiece(let tokenizer): (tokenizer.beginID, tokenizer.separatorID)
        case .bytePair(_, let begin, let end): (begin, end)
        }
    }
}
