import Foundation
import Synchronization
import UniMedData

/// Studies that are drawn, not read.
enum DrawnStudies {
    /// The samples and annotations of all studies, in their order.
    ///
    /// - Parameters:
    ///   - count: The number of studies.
    ///   - threadCount: The number of threads that draw them; the result does not depend on it.
    ///   - draw: Makes the study at a position.
    static func dataset(
        count: Int,
        threadCount: Int,
        report: inout ImportReport,
        draw: @Sendable (Int) -> (samples: [Sample], annotations: [ImageAnnotation])
    ) -> ImportedDataset {
        let studies = Mutex([(samples: [Sample], annotations: [ImageAnnotation])?](repeating: nil, count: count))
        let next = Atomic<Int>(0)
        DispatchQueue.concurrentPerform(iterations: min(threadCount, max(count, 1))) { _ in
            while true {
                let index = next.add(1, ordering: .relaxed).oldValue
                guard index < count else { return }
                let study = draw(index)
                studies.withLock { $0[index] = study }
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
}
