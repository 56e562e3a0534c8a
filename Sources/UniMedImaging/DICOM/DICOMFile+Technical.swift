/// What a DICOM file says about how a picture was taken: the only elements that leave the reader as text.
///
/// An allow-list: each value is checked against the terms of the standard, so that a name in the wrong element does not
/// pass. None of the elements is of table E.1-1 of PS3.15 (``DICOMTag/isIdentifying``).
public struct DICOMTechnicalFields: Sendable, Equatable {
    /// The elements that are read.
    public static let tags: [DICOMTag] = [
        .modality, .bodyPartExamined, .viewPosition, .laterality, .sliceThickness, .pixelSpacing, .imageOrientation,
    ]

    /// CT, MR, US, …; a defined term of PS3.3 C.7.3.1.1.1.
    public let modality: String?
    /// CHEST, HEAD, …; a term of PS3.16 annex L.
    public let bodyPart: String?
    /// `axial`, `coronal` or `sagittal`: the plane that the picture is nearest to.
    public let plane: String?
    /// AP, PA, LL, ….
    public let viewPosition: String?
    /// R or L.
    public let laterality: String?
    /// In millimetres.
    public let sliceThickness: Double?
    /// The distances of rows and of columns in millimetres.
    public let pixelSpacing: [Double]?

    /// The fields by name, as they stand in prepared data.
    public var fields: [String: String] {
        var fields: [String: String] = [:]
        fields["modality"] = modality
        fields["bodyPart"] = bodyPart
        fields["plane"] = plane
        fields["viewPosition"] = viewPosition
        fields["laterality"] = laterality
        fields["sliceThickness"] = sliceThickness.map { "\($0)" }
        fields["pixelSpacing"] = pixelSpacing.map { "\($0[0]) \($0[1])" }
        return fields
    }

    init(_ file: DICOMFile) {
        func term(_ tag: DICOMTag, of terms: Set<String>) -> String? {
            file.text(tag).flatMap { terms.contains($0.uppercased()) ? $0.uppercased() : nil }
        }
        func length(_ number: Double) -> Double? { number.isFinite && number > 0 && number < 1e4 ? number : nil }
        modality = term(.modality, of: Self.modalities)
        bodyPart = term(.bodyPartExamined, of: Self.bodyParts)
        viewPosition = term(.viewPosition, of: Self.views)
        laterality = term(.laterality, of: ["R", "L"])
        plane = file.plane().map { plane in
            let normal = plane.normal.map(abs)
            let axis = normal.indices.max { normal[$0] < normal[$1] } ?? 2
            return ["sagittal", "coronal", "axial"][axis]
        }
        sliceThickness = file.numbers(.sliceThickness, group: .pixelMeasures, frame: 0)?.first.flatMap(length)
        let spacing = file.numbers(.pixelSpacing, group: .pixelMeasures, frame: 0)?.compactMap(length) ?? []
        pixelSpacing = spacing.count == 2 ? spacing : nil
    }

    private static func terms(_ text: String) -> Set<String> { Set(text.split(separator: " ").map(String.init)) }

    static let modalities = terms(
        "ANN AR ASMT AU BDUS BI BMD CFM CR CT CTPROTOCOL DG DMS DOC DX ECG EEG EMG EOG EPS ES FID GM HC HD IO IOL IVOCT "
            + "IVUS KER KO LEN LS M3D MG MR NM OAM OCT OP OPM OPT OPTBSV OPTENF OPV OSS OT PA PLAN POS PR PT PX REG RESP "
            + "RF RG RTDOSE RTIMAGE RTINTENT RTPLAN RTRAD RTRECORD RTSEGANN RTSTRUCT RWV SEG SM SMR SR SRF STAIN TEXTUREMAP "
            + "TG US VA XA XC XAPROTOCOL"
    )

    static let bodyParts = terms(
        "ABDOMEN ABDOMENPELVIS ADRENAL ANKLE AORTA ARM AXILLA BACK BLADDER BRAIN BREAST BRONCHUS BUTTOCK CALCANEUS CALF "
            + "CAROTID CEREBELLUM CERVIX CHEEK CHEST CHESTABDOMEN CHESTABDPELVIS CIRCLEOFWILLIS CLAVICLE COCCYX COLON "
            + "CORNEA CORONARYARTERY CSPINE CTSPINE DUODENUM EAR ELBOW ESOPHAGUS EXTREMITY EYE EYELID FACE FEMUR FINGER "
            + "FOOT FOREARM GALLBLADDER HAND HEAD HEADNECK HEART HIP HUMERUS ILEUM ILIUM IAC JAW JEJUNUM KIDNEY KNEE LARYNX "
            + "LEG LIVER LSPINE LSSPINE LUNG MAXILLA MEDIASTINUM MOUTH NECK NECKCHEST NECKCHESTABDOMEN NECKCHESTABDPELV NOSE "
            + "ORBIT OVARY PANCREAS PAROTID PATELLA PELVIS PENIS PHARYNX PROSTATE RADIUS RECTUM RIB SCALP SCAPULA SCLERA "
            + "SCROTUM SHOULDER SIJOINT SINUS SKULL SPINE SPLEEN SSPINE STERNUM STOMACH SUBMANDIBULAR TESTIS THIGH THUMB "
            + "THYMUS THYROID TIBIA TIBIAFIBULA TLSPINE TMJ TOE TONGUE TRACHEA TSPINE ULNA URETER URETHRA UTERUS VAGINA "
            + "VULVA WHOLEBODY WRIST ZYGOMA"
    )

    static let views = terms("AP PA LL RL RLD LLD RLO LLO LAO RAO LPO RPO CC MLO ML LM XCCL XCCM LAT OBL")
}

extension DICOMFile {
    /// Why the pixels themselves may tell who the patient is.
    public enum PixelRisk: String, Sendable, Equatable, CaseIterable {
        /// (0028,0301) Burned In Annotation is YES.
        case burnedInAnnotation = "text is burned into the pixels (Burned In Annotation is YES)"
        /// A secondary capture or a converted film or screen that does not say whether text is burned in.
        case secondaryCapture = "a secondary capture that does not say whether text is burned into the pixels"
        /// (0028,0302) Recognizable Visual Features is YES.
        case recognizableFeatures = "the person can be recognized (Recognizable Visual Features is YES)"
    }

    /// The risks of the file's pixels.
    public var pixelRisks: [PixelRisk] {
        var risks: [PixelRisk] = []
        let annotation = text(.burnedInAnnotation)?.uppercased()
        if let annotation, annotation != "NO" { risks.append(.burnedInAnnotation) }
        let isCapture = text(.sopClassUID)?.hasPrefix("1.2.840.10008.5.1.4.1.1.7") ?? false
        let isConverted = text(.conversionType) != nil
        if annotation == nil, isCapture || isConverted { risks.append(.secondaryCapture) }
        if let features = text(.recognizableVisualFeatures)?.uppercased(), features != "NO" {
            risks.append(.recognizableFeatures)
        }
        return risks
    }
}
