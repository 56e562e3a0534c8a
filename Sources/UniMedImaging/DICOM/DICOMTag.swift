/// The tag of a DICOM element: a group and an element number.
public struct DICOMTag: Sendable, Equatable, Hashable, CustomStringConvertible {
    /// Group and element in one number, the group in the upper 16 bits.
    public let rawValue: UInt32

    /// Makes a tag, for example `DICOMTag(0x0028, 0x0010)` for Rows.
    public init(_ group: UInt16, _ element: UInt16) { rawValue = UInt32(group) << 16 | UInt32(element) }

    /// The tag as the standard writes it, for example `(0028,0010)`.
    public var description: String {
        func hexadecimal(_ number: UInt32) -> String {
            let digits = String(number, radix: 16, uppercase: true)
            return String(repeating: "0", count: 4 - digits.count) + digits
        }
        return "(\(hexadecimal(rawValue >> 16)),\(hexadecimal(rawValue & 0xFFFF)))"
    }
}

extension DICOMTag {
    static let sopClassUID = DICOMTag(0x0008, 0x0016)
    static let modality = DICOMTag(0x0008, 0x0060)
    static let conversionType = DICOMTag(0x0008, 0x0064)
    static let patientID = DICOMTag(0x0010, 0x0020)
    static let bodyPartExamined = DICOMTag(0x0018, 0x0015)
    static let sliceThickness = DICOMTag(0x0018, 0x0050)
    static let spacingBetweenSlices = DICOMTag(0x0018, 0x0088)
    static let gantryTilt = DICOMTag(0x0018, 0x1120)
    static let viewPosition = DICOMTag(0x0018, 0x5101)
    static let studyInstanceUID = DICOMTag(0x0020, 0x000D)
    static let seriesInstanceUID = DICOMTag(0x0020, 0x000E)
    static let instanceNumber = DICOMTag(0x0020, 0x0013)
    static let imagePosition = DICOMTag(0x0020, 0x0032)
    static let imageOrientation = DICOMTag(0x0020, 0x0037)
    static let laterality = DICOMTag(0x0020, 0x0060)
    static let planePosition = DICOMTag(0x0020, 0x9113)
    static let planeOrientation = DICOMTag(0x0020, 0x9116)
    static let photometricInterpretation = DICOMTag(0x0028, 0x0004)
    static let pixelSpacing = DICOMTag(0x0028, 0x0030)
    static let pixelPaddingValue = DICOMTag(0x0028, 0x0120)
    static let burnedInAnnotation = DICOMTag(0x0028, 0x0301)
    static let recognizableVisualFeatures = DICOMTag(0x0028, 0x0302)
    static let windowCenter = DICOMTag(0x0028, 0x1050)
    static let windowWidth = DICOMTag(0x0028, 0x1051)
    static let rescaleIntercept = DICOMTag(0x0028, 0x1052)
    static let rescaleSlope = DICOMTag(0x0028, 0x1053)
    static let voiFunction = DICOMTag(0x0028, 0x1056)
    static let modalityLookupSequence = DICOMTag(0x0028, 0x3000)
    static let lookupDescriptor = DICOMTag(0x0028, 0x3002)
    static let lookupData = DICOMTag(0x0028, 0x3006)
    static let voiLookupSequence = DICOMTag(0x0028, 0x3010)
    static let pixelMeasures = DICOMTag(0x0028, 0x9110)
    static let frameVOI = DICOMTag(0x0028, 0x9132)
    static let pixelValueTransformation = DICOMTag(0x0028, 0x9145)
    static let gridFrameOffsets = DICOMTag(0x3004, 0x000C)
    static let sharedFunctionalGroups = DICOMTag(0x5200, 0x9229)
    static let frameFunctionalGroups = DICOMTag(0x5200, 0x9230)

    static func paletteDescriptor(_ channel: Int) -> DICOMTag { DICOMTag(0x0028, 0x1101 + UInt16(channel)) }
    static func paletteData(_ channel: Int) -> DICOMTag { DICOMTag(0x0028, 0x1201 + UInt16(channel)) }
}
