import Foundation

extension DICOMFile {
    /// The grey values of a frame in the units of its modality.
    ///
    /// Stored values times Rescale Slope plus Rescale Intercept, of the frame's functional group where there is one; or
    /// the modality's lookup table.
    ///
    /// - Parameter frame: The number of the frame, from 0.
    /// - Returns: `rows * columns` values by rows.
    /// - Throws: ``ImagingError``; `unsupported` for a frame in colour.
    public func values(frame: Int = 0) throws(ImagingError) -> [Float] {
        let layout = try pixelLayout()
        return try values(of: try self.frame(frame), number: frame, layout: layout)
    }

    func values(of frame: Frame, number: Int, layout: PixelLayout) throws(ImagingError) -> [Float] {
        guard layout.samples == 1, frame.photometricInterpretation != "PALETTE COLOR" else {
            throw ImagingError(.unsupported, file: name, detail: "(0028,0004) Photometric Interpretation: in colour")
        }
        if itemCount(.modalityLookupSequence) > 0 {
            let table = try lookupTable([Step(sequence: .modalityLookupSequence, item: 0)], isSigned: layout.isSigned)
            return frame.values.map { Float(table.value(Int($0))) }
        }
        let slope = Float(rescaleSlope(frame: number))
        let intercept = Float(rescaleIntercept(frame: number))
        if layout.bitsStored == 32, !layout.isSigned {
            return frame.values.map { Float(UInt32(bitPattern: $0)) * slope + intercept }
        }
        return frame.values.map { Float($0) * slope + intercept }
    }

    /// The factor from stored values to those of the modality; 1 where the file has none.
    public func rescaleSlope(frame: Int = 0) -> Double {
        numbers(.rescaleSlope, group: .pixelValueTransformation, frame: frame)?.first ?? 1
    }

    /// What is added to stored values times the slope; 0 where the file has none.
    public func rescaleIntercept(frame: Int = 0) -> Double {
        numbers(.rescaleIntercept, group: .pixelValueTransformation, frame: frame)?.first ?? 0
    }

    /// The windows that the file names for a frame, in its order; those that are none are left out.
    public func windows(frame: Int = 0) -> [GrayWindow] {
        for place in places(of: .frameVOI, frame: frame) {
            guard let centers = numbers(.windowCenter, in: place), let widths = numbers(.windowWidth, in: place) else {
                continue
            }
            let function = text(.voiFunction, in: place).flatMap(GrayWindow.Function.init) ?? .linear
            return zip(centers, widths).compactMap { GrayWindow(center: $0, width: $1, function: function) }
        }
        return []
    }

    /// A frame as a picture.
    ///
    /// - Parameters:
    ///   - frame: The number of the frame, from 0.
    ///   - rendering: How grey values become 8 bits; colour is not changed by it. MONOCHROME1 is inverted, so that it
    ///     looks as it was meant.
    /// - Throws: ``ImagingError`` that names the file and the element.
    public func picture(frame: Int = 0, rendering: GrayRendering = .file) throws(ImagingError) -> RGBImage {
        let layout = try pixelLayout()
        let decoded = try self.frame(frame)
        let pixels: [UInt8]
        if layout.samples == 3 {
            pixels = try ColorConversion.rgb(decoded, bits: layout.bitsStored, name: name)
        } else if decoded.photometricInterpretation == "PALETTE COLOR" {
            let bits = try palette(isSigned: layout.isSigned)[0].bits
            let colors = try paletteColors(of: decoded, layout: layout)
            pixels = colors.map { UInt8(truncatingIfNeeded: bits > 8 ? $0 >> UInt16(bits - 8) : $0) }
        } else {
            pixels = try gray(decoded, number: frame, layout: layout, rendering: rendering)
        }
        return RGBImage(width: layout.columns, height: layout.rows, pixels: pixels)
    }

    /// The colours of a palette image in the depth of the palette's entries: red, green, blue a pixel.
    package func paletteColors(of frame: Frame, layout: PixelLayout) throws(ImagingError) -> [UInt16] {
        let tables = try palette(isSigned: layout.isSigned)
        return [UInt16](unsafeUninitializedCapacity: 3 * frame.values.count) { target, count in
            for (pixel, value) in frame.values.enumerated() {
                for channel in 0..<3 { target[3 * pixel + channel] = UInt16(tables[channel].value(Int(value))) }
            }
            count = 3 * frame.values.count
        }
    }

    private func palette(isSigned: Bool) throws(ImagingError) -> [LookupTable] {
        var tables: [LookupTable] = []
        for channel in 0..<3 {
            guard let descriptor = numbers(.paletteDescriptor(channel)), let data = numbers(.paletteData(channel)),
                let table = LookupTable(descriptor: descriptor, data: data, isSigned: isSigned)
            else {
                let problem = "\(DICOMTag.paletteDescriptor(channel)) the palette is missing or damaged"
                throw ImagingError(.malformed, file: name, detail: problem)
            }
            tables.append(table)
        }
        guard tables.allSatisfy({ $0.bits == tables[0].bits }) else {
            throw ImagingError(.unsupported, file: name, detail: "(0028,1101) palettes of several depths")
        }
        return tables
    }

    private func lookupTable(_ steps: [Step], isSigned: Bool) throws(ImagingError) -> LookupTable {
        guard let descriptor = numbers(.lookupDescriptor, in: steps), let data = numbers(.lookupData, in: steps),
            let table = LookupTable(descriptor: descriptor, data: data, isSigned: isSigned)
        else {
            throw ImagingError(.malformed, file: name, detail: "(0028,3002) the lookup table is missing or damaged")
        }
        return table
    }

    private func gray(
        _ frame: Frame,
        number: Int,
        layout: PixelLayout,
        rendering: GrayRendering
    ) throws(ImagingError) -> [UInt8] {
        let values = try values(of: frame, number: number, layout: layout)
        let isInverted = frame.photometricInterpretation == "MONOCHROME1"
        if rendering == .file, windows(frame: number).isEmpty, itemCount(.voiLookupSequence) > 0 {
            let table = try lookupTable(
                [Step(sequence: .voiLookupSequence, item: 0)],
                isSigned: layout.isSigned || rescaleIntercept(frame: number) < 0
            )
            let largest = Double((1 << table.bits) - 1)
            return values.repeatedGray(inverted: isInverted) { value in
                // Float to Int is safe: the values come from 32 bits at most, times a finite slope.
                let index = Int(Double(value).rounded().clamped(to: -1e9...1e9))
                return Double(table.value(index)) * 255 / largest
            }
        }
        // Padding is no tissue: it must not stretch the range.
        let padding = numbers(.pixelPaddingValue)?.first.map { Int32(clamping: Int($0.clamped(to: -1e9...1e10))) }
        let ranged = padding.map { padding in zip(frame.values, values).filter { $0.0 != padding }.map { $0.1 } }
        return GrayPicture.pixels(
            values,
            rangeOf: ranged.flatMap { $0.isEmpty ? nil : $0 } ?? values,
            rendering: rendering,
            fileWindow: windows(frame: number).first,
            inverted: isInverted
        )
    }
}

/// Grey values to pixels.
enum GrayPicture {
    /// The RGB bytes of grey values.
    ///
    /// - Parameters:
    ///   - values: The values.
    ///   - ranged: Those that the range is told by, where a rendering needs one.
    ///   - rendering: How they become 8 bits.
    ///   - fileWindow: The window of the file, for ``GrayRendering/file``.
    ///   - inverted: Whether small values are white.
    static func pixels(
        _ values: [Float],
        rangeOf ranged: [Float],
        rendering: GrayRendering,
        fileWindow: GrayWindow?,
        inverted: Bool
    ) -> [UInt8] {
        switch rendering {
        case .window(let window): return values.repeatedGray(inverted: inverted) { window.gray(Double($0)) }
        case .channels(let red, let green, let blue):
            let windows = [red, green, blue]
            return [UInt8](unsafeUninitializedCapacity: 3 * values.count) { target, count in
                for (pixel, value) in values.enumerated() {
                    for channel in 0..<3 {
                        let gray = value.isFinite ? windows[channel].gray(Double(value)) : 0
                        target[3 * pixel + channel] = UInt8((inverted ? 255 - gray : gray).rounded())
                    }
                }
                count = 3 * values.count
            }
        case .file:
            if let fileWindow { return values.repeatedGray(inverted: inverted) { fileWindow.gray(Double($0)) } }
            return values.spread(over: ranged.range, inverted: inverted)
        case .fullRange: return values.spread(over: ranged.range, inverted: inverted)
        case .percentiles(let lower, let upper):
            return values.spread(over: ranged.percentiles(lower, upper), inverted: inverted)
        }
    }
}

extension Double {
    func clamped(to range: ClosedRange<Double>) -> Double {
        isNaN ? range.lowerBound : Swift.min(Swift.max(self, range.lowerBound), range.upperBound)
    }
}

extension [Float] {
    /// Each value's grey, three times; what is not finite is black.
    fileprivate func repeatedGray(inverted: Bool, _ gray: (Float) -> Double) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: 3 * count) { target, filled in
            for (pixel, value) in enumerated() {
                let found = value.isFinite ? gray(value) : 0
                let level = UInt8((inverted ? 255 - found : found).clamped(to: 0...255).rounded())
                target[3 * pixel] = level
                target[3 * pixel + 1] = level
                target[3 * pixel + 2] = level
            }
            filled = 3 * count
        }
    }

    fileprivate func spread(over range: (lower: Float, upper: Float), inverted: Bool) -> [UInt8] {
        let (lower, upper) = (Double(range.lower), Double(range.upper))
        guard upper > lower else { return repeatedGray(inverted: inverted) { _ in 0 } }
        return repeatedGray(inverted: inverted) { ((Double($0) - lower) * 255 / (upper - lower)).clamped(to: 0...255) }
    }

    /// The smallest and the largest finite value.
    fileprivate var range: (lower: Float, upper: Float) {
        var lower = Float.infinity
        var upper = -Float.infinity
        for value in self where value.isFinite {
            lower = Swift.min(lower, value)
            upper = Swift.max(upper, value)
        }
        return lower <= upper ? (lower, upper) : (0, 0)
    }

    fileprivate func percentiles(_ lower: Double, _ upper: Double) -> (lower: Float, upper: Float) {
        let sorted = filter(\.isFinite).sorted()
        guard !sorted.isEmpty else { return (0, 0) }
        func at(_ part: Double) -> Float { sorted[Int((part.clamped(to: 0...1) * Double(sorted.count - 1)).rounded())] }
        return (at(lower), at(upper))
    }
}

/// Colours of DICOM to RGB of 8 bits, PS3.3 C.7.6.3.1.2.
enum ColorConversion {
    static func rgb(_ frame: DICOMFile.Frame, bits: Int, name: String) throws(ImagingError) -> [UInt8] {
        let values = frame.values
        switch frame.photometricInterpretation {
        case "RGB", "YBR_RCT", "YBR_ICT":
            let largest = Double(UInt64(1) << UInt64(bits)) - 1
            return values.map { value in
                if bits == 8 { return UInt8(clamping: value) }
                if bits > 8 { return UInt8(clamping: UInt32(bitPattern: value) >> UInt32(bits - 8)) }
                return UInt8((Double(value) * 255 / largest).clamped(to: 0...255).rounded())
            }
        case "YBR_FULL", "YBR_FULL_422":
            guard bits == 8 else { break }
            return converted(values) { y, b, r in
                (y + 1.402 * r, y - 0.114 * 1.772 / 0.587 * b - 0.299 * 1.402 / 0.587 * r, y + 1.772 * b)
            }
        case "YBR_PARTIAL_422", "YBR_PARTIAL_420":
            guard bits == 8 else { break }
            return converted(values) { y, b, r in
                let light = 1.1644 * (y - 16)
                return (light + 1.5960 * r, light - 0.3917 * b - 0.8130 * r, light + 2.0173 * b)
            }
        default: break
        }
        throw ImagingError(
            .unsupported,
            file: name,
            detail: "(0028,0004) Photometric Interpretation with \(bits) bits stored"
        )
    }

    private static func converted(
        _ values: [Int32],
        _ convert: (Double, Double, Double) -> (Double, Double, Double)
    ) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: values.count) { target, count in
            for pixel in 0..<values.count / 3 {
                let (y, b, r) = (values[3 * pixel], values[3 * pixel + 1], values[3 * pixel + 2])
                let (red, green, blue) = convert(Double(y), Double(b) - 128, Double(r) - 128)
                target[3 * pixel] = UInt8(red.clamped(to: 0...255).rounded())
                target[3 * pixel + 1] = UInt8(green.clamped(to: 0...255).rounded())
                target[3 * pixel + 2] = UInt8(blue.clamped(to: 0...255).rounded())
            }
            count = values.count
        }
    }
}
