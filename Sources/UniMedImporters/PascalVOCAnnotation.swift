import Foundation
import FoundationXML
import UniMedData

/// The parts of a Pascal VOC annotation file that are used; `<path>` is a foreign machine's and is not.
struct PascalVOCAnnotation: Equatable {
    struct Object: Equatable {
        var name = ""
        /// `nil` when an edge is missing or not a number.
        var box: BoundingBox?
    }

    var fileName: String?
    var width: Int?
    var height: Int?
    var objects: [Object] = []

    /// Reads an annotation file.
    ///
    /// - Throws: ``DataError`` with the file and the line at fault.
    init(contentsOf url: URL) throws(DataError) {
        let data = try DataFile.read(url)
        // The parser ends the program where a name is not UTF-8.
        guard String(validating: data, as: UTF8.self) != nil else {
            throw DataError(.malformed, "not UTF-8 text", file: url.path)
        }
        let parser = XMLParser(data: data)
        let reader = Reader()
        parser.delegate = reader
        // The parser takes a file that just stops for a whole one.
        guard parser.parse(), parser.parserError == nil, reader.isComplete else {
            throw DataError(.malformed, "not valid XML", file: url.path, line: parser.lineNumber)
        }
        guard reader.root == "annotation" else {
            throw DataError(
                .malformed,
                "expected an element 'annotation', found '\(reader.root ?? "nothing")'",
                file: url.path
            )
        }
        self = reader.annotation
    }

    private init() {}

    private final class Reader: NSObject, XMLParserDelegate {
        var annotation = PascalVOCAnnotation()
        var root: String?
        var isComplete: Bool { root != nil && path.isEmpty }
        private static let maximumDepth = 32
        private var path: [String] = []
        private var text = ""
        private var object = Object()
        private var edges: [String: Double] = [:]

        func parser(
            _ parser: XMLParser,
            didStartElement elementName: String,
            namespaceURI: String?,
            qualifiedName: String?,
            attributes: [String: String]
        ) {
            if path.isEmpty { root = elementName }
            path.append(elementName)
            text = ""
            if path.count > Reader.maximumDepth { parser.abortParsing() }
            if path == ["annotation", "object"] {
                object = Object()
                edges = [:]
            }
        }

        func parser(_ parser: XMLParser, foundCharacters string: String) { text += string }

        func parser(
            _ parser: XMLParser,
            didEndElement elementName: String,
            namespaceURI: String?,
            qualifiedName: String?
        ) {
            let value = text.trimmingCharacters(in: .whitespacesAndNewlines)
            // Parts of an object (head, hand) have names and boxes of their own one level deeper and are not objects.
            switch path.dropFirst().joined(separator: "/") {
            case "filename": annotation.fileName = value
            case "size/width": annotation.width = Int(value)
            case "size/height": annotation.height = Int(value)
            case "object/name": object.name = value
            case "object/bndbox/xmin", "object/bndbox/ymin", "object/bndbox/xmax", "object/bndbox/ymax":
                edges[elementName] = Double(value)
            case "object":
                if let xMin = edges["xmin"], let yMin = edges["ymin"], let xMax = edges["xmax"],
                    let yMax = edges["ymax"]
                {
                    object.box = BoundingBox(xMin: xMin, yMin: yMin, xMax: xMax, yMax: yMax)
                }
                annotation.objects.append(object)
            default: break
            }
            text = ""
            path.removeLast()
        }
    }
}
