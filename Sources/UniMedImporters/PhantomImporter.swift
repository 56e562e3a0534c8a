public import UniMedData
public import UniMedImaging

/// The synthetic studies of a ``PhantomGenerator`` as a data set: made, not read, so there are no files.
public struct PhantomImporter: DatasetImporter {
    /// The importer's name.
    public static let name = "phantoms"
    /// The version of what this importer makes of the same settings.
    public static let version = 1

    /// The generator of the studies.
    public let generator: PhantomGenerator
    /// The number of threads that draw studies; the result does not depend on it.
    public let threadCount: Int

    /// Makes an importer of a generator's studies.
    ///
    /// - Precondition: `threadCount` is positive.
    public init(_ generator: PhantomGenerator, threadCount: Int = 2) {
        precondition(threadCount > 0, "studies are drawn by at least one thread")
        self.generator = generator
        self.threadCount = threadCount
    }

    /// The data set's name in the samples.
    public var dataset: String { generator.configuration.dataset }

    /// The seed, sizes and numbers.
    public var settings: [String: String] {
        let configuration = generator.configuration
        return [
            "seed": "\(generator.seed)", "side": "\(configuration.side)", "trainCount": "\(configuration.trainCount)",
            "validationCount": "\(configuration.validationCount)",
            "kinds": configuration.kinds.map(\.rawValue).joined(separator: ", "),
        ]
    }

    /// No files: the studies are made from the seed.
    public func sourceFiles() -> [SourceFile] { [] }

    /// Makes the samples and annotations of all studies.
    public func importSamples(report: inout ImportReport) -> ImportedDataset {
        DrawnStudies.dataset(count: generator.count, threadCount: threadCount, report: &report) { index in
            let study = generator.study(at: index)
            return (study.samples, [study.annotation])
        }
    }

    /// The picture of a study, drawn anew.
    public func picture(_ reference: ImageReference) throws(ImagingError) -> RGBImage {
        guard let picture = generator.renderedImage(for: reference.path) else {
            throw ImagingError(.unreadableFile, file: reference.path, detail: "no phantom has this path")
        }
        return picture
    }
}
