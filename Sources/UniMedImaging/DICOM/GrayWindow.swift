import Foundation

/// A window on grey values: what lies inside is spread over black to white.
public struct GrayWindow: Sendable, Equatable, Hashable {
    /// The shape of the curve, PS3.3 C.11.2.1.2.
    public enum Function: String, Sendable, Equatable, Hashable, CaseIterable {
        /// The straight line of C.11.2.1.2.1, which reaches from `center - width / 2` to `center + width / 2 - 1`.
        case linear = "LINEAR"
        /// The straight line of C.11.2.1.3.2, from `center - width / 2` to `center + width / 2`.
        case linearExact = "LINEAR_EXACT"
        /// The curve of C.11.2.1.3.1.
        case sigmoid = "SIGMOID"
    }

    /// The value that becomes middle grey, in the units of the modality (Hounsfield units of a CT).
    public let center: Double
    /// The extent, in the same units.
    public let width: Double
    /// The shape of the curve.
    public let function: Function

    /// Makes a window; `nil` where the numbers are none: the width of a line is at least 1, of the others above 0.
    public init?(center: Double, width: Double, function: Function = .linear) {
        guard center.isFinite, width.isFinite, width > 0, function != .linear || width >= 1 else { return nil }
        self.center = center
        self.width = width
        self.function = function
    }

    private init(preset center: Double, _ width: Double) {
        self.center = center
        self.width = width
        function = .linear
    }

    /// -600, 1500 Hounsfield units.
    public static let lung = GrayWindow(preset: -600, 1500)
    /// 400, 1800 Hounsfield units.
    public static let bone = GrayWindow(preset: 400, 1800)
    /// 40, 80 Hounsfield units.
    public static let brain = GrayWindow(preset: 40, 80)
    /// 50, 400 Hounsfield units.
    public static let softTissue = GrayWindow(preset: 50, 400)
    /// 50, 350 Hounsfield units.
    public static let mediastinum = GrayWindow(preset: 50, 350)

    /// The windows with names.
    public static let presets: [String: GrayWindow] = [
        "lung": .lung, "bone": .bone, "brain": .brain, "soft-tissue": .softTissue, "mediastinum": .mediastinum,
    ]

    /// The grey of a value, from 0 to 255, not rounded.
    public func gray(_ value: Double) -> Double {
        switch function {
        case .linear:
            let middle = center - 0.5
            let half = (width - 1) / 2
            if value <= middle - half { return 0 }
            if value > middle + half { return 255 }
            return ((value - middle) / (width - 1) + 0.5) * 255
        case .linearExact:
            if value <= center - width / 2 { return 0 }
            if value > center + width / 2 { return 255 }
            return ((value - center) / width + 0.5) * 255
        case .sigmoid: return 255 / (1 + exp(-4 * (value - center) / width))
        }
    }
}

/// How grey values of more than 8 bits become a picture.
public enum GrayRendering: Sendable, Equatable, Hashable {
    /// The first window or lookup table of the file; ``fullRange`` where it has none.
    case file
    /// The smallest value becomes 0 and the largest 255.
    case fullRange
    /// The values at two parts of the sorted values, such as 0.01 and 0.99, become 0 and 255.
    case percentiles(lower: Double, upper: Double)
    /// A window.
    case window(GrayWindow)
    /// Three windows, as red, green and blue.
    case channels(red: GrayWindow, green: GrayWindow, blue: GrayWindow)

    /// Reads what settings and the command line say.
    ///
    /// That is `file`, `full-range`, `percentiles` (0.01 and 0.99), the name of a preset, `center/width`, or three of the
    /// last two, separated by commas, as channels; `nil` for anything else.
    public init?(_ text: String) {
        func window(_ text: Substring) -> GrayWindow? {
            if let preset = GrayWindow.presets[String(text)] { return preset }
            let parts = text.split(separator: "/", omittingEmptySubsequences: false)
            guard parts.count == 2, let center = Double(parts[0]), let width = Double(parts[1]) else { return nil }
            return GrayWindow(center: center, width: width)
        }
        let parts = text.split(separator: ",", omittingEmptySubsequences: false)
        switch (text, parts.count) {
        case ("file", _): self = .file
        case ("full-range", _): self = .fullRange
        case ("percentiles", _): self = .percentiles(lower: 0.01, upper: 0.99)
        case (_, 1):
            guard let only = window(parts[0]) else { return nil }
            self = .window(only)
        case (_, 3):
            guard let red = window(parts[0]), let green = window(parts[1]), let blue = window(parts[2]) else {
                return nil
            }
            self = .channels(red: red, green: green, blue: blue)
        default: return nil
        }
    }

    /// What ``init(_:)`` reads, in words.
    public static let forms =
        "file, full-range, percentiles, \(GrayWindow.presets.keys.sorted().joined(separator: ", ")), center/width, "
        + "or three windows separated by commas"
}

/// A lookup table of a file, PS3.3 C.11.1 and C.11.2.
struct LookupTable: Equatable {
    let entries: [UInt16]
    let first: Int
    let bits: Int

    /// Reads a table; `nil` where descriptor and data do not fit together.
    init?(descriptor: [Double], data: [Double], isSigned: Bool) {
        guard descriptor.count == 3, (1...16).contains(descriptor[2]), (0...65_535).contains(descriptor[0]) else {
            return nil
        }
        let count = descriptor[0] == 0 ? 65_536 : Int(descriptor[0])
        guard (-32_768...65_535).contains(descriptor[1]) else { return nil }
        first = isSigned && descriptor[1] > 32_767 ? Int(descriptor[1]) - 65_536 : Int(descriptor[1])
        bits = Int(descriptor[2])
        if data.count >= count {
            entries = data[..<count].map { UInt16(clamping: Int($0)) }
        } else if bits <= 8, data.count >= (count + 1) / 2 {
            // Entries of a byte, two in a word.
            entries = (0..<count).map { UInt16(clamping: Int(data[$0 / 2]) >> ($0 % 2 == 0 ? 0 : 8) & 0xFF) }
        } else {
            return nil
        }
    }

    func value(_ index: Int) -> Int { Int(entries[max(0, min(entries.count - 1, index - first))]) }
}
