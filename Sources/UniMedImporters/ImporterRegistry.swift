public import Foundation
import UniMedData

/// The importers by the name that recipes and the command line use.
public struct ImporterRegistry: Sendable {
    /// One importer.
    public struct Entry: Sendable {
        /// The name, which is also the data set's name in the samples unless the options give another.
        public let name: String
        /// What it reads, in one sentence.
        public let summary: String
        private let make: @Sendable (URL, ImportOptions) throws(ImportError) -> any DatasetImporter

        /// Makes an entry.
        public init(
            name: String,
            summary: String,
            make: @escaping @Sendable (URL, ImportOptions) throws(ImportError) -> any DatasetImporter
        ) {
            self.name = name
            self.summary = summary
            self.make = make
        }

        /// Makes the importer of a folder.
        ///
        /// - Parameters:
        ///   - root: The data set's folder.
        ///   - options: The settings.
        /// - Returns: An importer that has not read anything yet.
        /// - Throws: ``ImportError`` when an option is not allowed.
        public func importer(
            root: URL,
            options: ImportOptions = ImportOptions()
        ) throws(ImportError) -> any DatasetImporter {
            var options = options
            options.dataset = options.dataset ?? name
            return try make(root, options)
        }
    }

    /// All importers, in the order in which they are listed.
    public let entries: [Entry]

    /// The importers that come with the library.
    public static let standard = ImporterRegistry(entries: [
        Entry(name: "pubmedqa", summary: "PubMedQA, labelled questions: qa.") { (root, options) throws(ImportError) in
            try PubMedQAImporter(root: root, options: options)
        },
        Entry(name: "medqa", summary: "MedQA, US questions: qa.") { (root, options) throws(ImportError) in
            try MedQAImporter(root: root, options: options)
        },
        Entry(name: "medpix", summary: "MedPix 2.0: rg, vqa, cls.") { (root, options) throws(ImportError) in
            try MedPixImporter(root: root, options: options)
        },
        Entry(name: "bccd", summary: "BCCD blood cells in the layout of Pascal VOC: rec, reg, vqa.") {
            (root, options) throws(ImportError) in
            try PascalVOCImporter(root: root, options: options)
        },
        Entry(name: "pascal-voc", summary: "Any data set in the layout of Pascal VOC: rec, reg, vqa.") {
            (root, options) throws(ImportError) in
            try PascalVOCImporter(root: root, options: options)
        },
        Entry(name: "json-lines", summary: "Samples as JSON lines: all tasks.") { (root, options) throws(ImportError) in
            try SampleLinesImporter(root: root, options: options)
        },
        Entry(name: "llava", summary: "LLaVA conversations: all tasks.") { (root, options) throws(ImportError) in
            try ConversationImporter(root: root, options: options)
        },
        Entry(name: "csv", summary: "A table of images and labels: cls.") { (root, options) throws(ImportError) in
            try LabelTableImporter(root: root, options: options)
        },
        Entry(name: "class-folders", summary: "A folder of images per class: cls.") {
            (root, options) throws(ImportError) in
            try ClassFolderImporter(root: root, options: options)
        },
        Entry(name: "coco", summary: "Boxes in the layout of COCO: rec, reg.") { (root, options) throws(ImportError) in
            try COCOImporter(root: root, options: options)
        },
        Entry(name: "masks", summary: "Label masks with a list of names: rec, reg.") {
            (root, options) throws(ImportError) in
            try LabelMaskImporter(root: root, options: options)
        },
    ])

    /// Makes a registry.
    ///
    /// - Precondition: The names differ.
    public init(entries: [Entry]) {
        precondition(Set(entries.map(\.name)).count == entries.count, "every importer has a name of its own")
        self.entries = entries
    }

    /// The entry of a name.
    ///
    /// - Throws: ``ImportError`` that lists the names there are.
    public func entry(named name: String) throws(ImportError) -> Entry {
        guard let entry = entries.first(where: { $0.name == name }) else {
            let names = entries.map(\.name).joined(separator: ", ")
            throw ImportError(.invalid, "no importer is called '\(name)'; there are \(names)", field: "importer")
        }
        return entry
    }
}
