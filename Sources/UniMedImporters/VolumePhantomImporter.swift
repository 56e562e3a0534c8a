public import UniMedData
public import UniMedImaging

/// The synthetic volumes of a ``VolumePhantomGenerator`` as a data set: made, not read, so there are no files.
public struct VolumePhantomImporter: DatasetImporter {
    /// The importer's name.
    public static let name = "volume-phantoms"
    /// The version of what this importer makes of the same settings.
    public static let version = 1

    /// The generator of the volumes.
    public let generator: VolumePhantomGenerator
    /// The number of threads that draw volumes; the result does not depend on it.
    public let threadCount: Int

    /// Makes an importer of a generator's volumes.
    ///
    /// - Precondition: `threadCount` is positive.
    public init(_ generator: VolumePhantomGenerator, threadCount: Int = 2) {
        precondition(threadCount > 0, "volumes are drawn by at least one thread")
        self.generator = generator
        self.threadCount = threadCount
    }

    /// The data set's name in the samples.
    public var dataset: String { generator.configuration.dataset }

    /// The seed, sizes and numbers.
    public var settings: [String: String] {
        let configuration = generator.configuration
        return [
            "seed": "\(generator.seed)", "side": "\(configuration.side)",
            "slices": "\(configuration.slices.lowerBound) to \(configuration.slices.upperBound)",
            "trainCount": "\(configuration.trainCount)", "validationCount": "\(configuration.validationCount)",
        ]
    }

    /// No files: the volumes are made from the seed.
    public func sourceFiles() -> [SourceFile] { [] }

    /// Makes the samples of all volumes and the annotations of their slices.
    public func importSamples(report: inout ImportReport) -> ImportedDataset {
        DrawnStudies.dataset(count: generator.count, threadCount: threadCount, report: &report) { index in
            let study = generator.study(at: index)
            return (study.samples, study.annotations)
        }
    }

    /// The picture of a slice, drawn anew.
    public func picture(_ reference: ImageReference) throws(ImagingError) -> RGBImage {
        guard let picture = generator.renderedSlice(for: reference.path) else {
            throw ImagingError(.unreadableFile, file: reference.path, detail: "no phantom has this path")
        }
        return picture
    }
}
