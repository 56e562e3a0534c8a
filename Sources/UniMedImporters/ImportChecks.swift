public import UniMedData

extension DatasetImporter {
    /// Reads the data set, and checks what holds for every importer.
    ///
    /// Everything found is imported or skipped, there are as many samples of each kind as the report says were imported,
    /// and no two have the same name.
    ///
    /// - Parameters:
    ///   - faults: What becomes of things that are at fault. What a rule of the importer leaves out is no fault.
    ///   - report: Is filled with the counts.
    /// - Returns: The samples and annotations.
    /// - Throws: ``ImportError`` when the data set cannot be read, or has a fault that is to be refused; of kind
    ///   `mismatch` when the importer itself did not keep to the above.
    public func checkedImport(
        faults: FaultPolicy = .skip,
        report: inout ImportReport
    ) throws(ImportError) -> ImportedDataset {
        let result = try importSamples(report: &report)
        if let problem = inconsistency(of: result, report: report) {
            throw ImportError(.mismatch, problem, importer: Self.name)
        }
        try refuseFaults(of: report, faults)
        return result
    }

    /// What is wrong with a result and its report; `nil` when they fit together.
    package func inconsistency(of result: ImportedDataset, report: ImportReport) -> String? {
        guard report.isBalanced else {
            let kinds = report.tallies.filter { !$0.value.isBalanced }.keys.sorted().joined(separator: ", ")
            return "the importer found more or fewer than it imported and skipped: \(kinds)"
        }
        var counts: [String: Int] = [:]
        var names: Set<String> = []
        for sample in result.samples {
            counts[ImportReport.kind(of: sample), default: 0] += 1
            guard names.insert(sample.id).inserted else { return "two samples have the same name" }
        }
        for (kind, count) in counts.sorted(by: { $0.key < $1.key }) where report.tallies[kind]?.imported != count {
            let claimed = report.tallies[kind]?.imported ?? 0
            return "\(kind): the report says that \(claimed) samples were imported, there are \(count)"
        }
        return nil
    }

    /// Throws when a report has faults that are to be refused.
    func refuseFaults(
        of report: ImportReport,
        _ policy: FaultPolicy,
        showsNames: Bool = true
    ) throws(ImportError) {
        guard policy == .refuse, let fault = report.firstFault else { return }
        let rest = report.faultCount > 1 ? " (and \(report.faultCount - 1) more faults)" : ""
        let item = showsNames ? fault.item.map { " \($0)" } ?? "" : ""
        throw ImportError(.invalid, "\(fault.kind)\(item): \(fault.reason)\(rest)", importer: Self.name)
    }
}
