import Foundation
import Synchronization
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
        struct Study: Sendable {
            let samples: [Sample]
            let annotations: [ImageAnnotation]
        }
        let count = generator.count
        let studies = Mutex<[Study?]>(Array(repeating: nil, count: count))
        let next = Atomic<Int>(0)
        DispatchQueue.concurrentPerform(iterations: min(threadCount, max(count, 1))) { _ in
            while true {
                let index = next.add(1, ordering: .relaxed).oldValue
                guard index < count else { return }
                let study = generator.study(at: index)
                studies.withLock { $0[index] = Study(samples: study.samples, annotations: study.annotations) }
            }
        }
        var result = ImportedDataset()
        for study in studies.withLock({ $0 }) {
            guard let study else { preconditionFailure("every index below the count was drawn") }
            result.samples += study.samples
            result.annotations += study.annotations
        }
        report.found(count, "image")
        report.imported(count, "image")
        for sample in result.samples {
            report.found(1, ImportReport.kind(of: sample))
            report.imported(1, ImportReport.kind(of: sample))
        }
        return result
    }

    /// The picture of a slice, drawn anew.
    public func picture(_ reference: ImageReference) throws(ImagingError) -> RGBImage {
        guard let picture = generator.renderedSlice(for: reference.path) else {
            throw ImagingError(.unreadableFile, file: reference.path, detail: "no phantom has this path")
        }
        return picture
    }
}
