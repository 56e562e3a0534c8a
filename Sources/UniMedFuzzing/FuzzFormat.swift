import Foundation

/// A format whose reader is fed with damaged files.
///
/// A further format is a file beside this one and a line in ``all``.
public struct FuzzFormat: Sendable {
    /// Whether a reader took a file.
    public enum Outcome: Sendable {
        /// It was read to the end.
        case accepted
        /// It was refused with an error of the reader's own type.
        case refused
    }

    /// What the command line calls it.
    public let name: String

    /// Sound files, which are read without an error before any is damaged.
    let corpus: @Sendable () throws -> [Data]

    /// Damages one of the files.
    let damage: @Sendable (_ file: Data, _ others: [Data], inout SplitMix64) -> Data

    /// Reads everything in a file; an error that is not of the reader's own type is thrown.
    let read: @Sendable (_ file: Data, _ folder: URL) throws -> Outcome

    /// Every format.
    public static let all: [FuzzFormat] =
        [
            .safetensors, .safetensorsIndex, .torchSave, .torchSaveSequence, .sentencePiece, .tokenizerJSON,
        ] + data

    /// The formats of pictures and data sets.
    public static let data: [FuzzFormat] = [
        .png, .jpeg, .tiff, .medMNIST, .sampleLines, .preparedSamples, .labelTable, .pascalVOC, .coco, .conversations,
        .pubMedQA, .pathVQA, .parquet, .dicom, .nifti, .nrrd,
    ]
}
