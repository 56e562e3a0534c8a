public import Foundation
public import UniMedData
import UniMedImaging

extension PhantomGenerator {
    /// Writes all studies as a folder: PNG pictures at their paths, `samples.jsonl` and `annotations.jsonl`.
    ///
    /// The two lists come last, so that a folder that has them is complete.
    ///
    /// - Parameters:
    ///   - folder: The folder; made where it is missing, files in it are replaced.
    ///   - progress: Is told the number of studies written so far.
    /// - Throws: ``DataError`` with the path and the system's reason, for example when no space is left.
    public func write(to folder: URL, progress: (Int) -> Void = { _ in }) throws(DataError) {
        for kind in Set(configuration.kinds) {
            let url = folder.appending(path: "phantom/\(kind.rawValue)", directoryHint: .isDirectory)
            do {
                try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
            } catch {
                throw DataError(.fileSystem, "the folder cannot be made: \(error.localizedDescription)", file: url.path)
            }
        }
        var samples: [Sample] = []
        var annotations: [ImageAnnotation] = []
        for index in 0..<count {
            let study = study(at: index)
            let url = folder.appending(path: study.annotation.image.path)
            let bytes: [UInt8]
            do throws(ImagingError) {
                bytes = try PNGEncoder.encode(study.image, compression: 4)
            } catch {
                throw DataError(.invalid, error.description, file: url.path)
            }
            try AtomicFile.write(Data(bytes), to: url)
            samples += study.samples
            annotations.append(study.annotation)
            progress(index + 1)
        }
        try JSONLines.write(annotations, to: folder.appending(path: "annotations.jsonl"))
        try JSONLines.write(samples, to: folder.appending(path: "samples.jsonl"))
    }
}
