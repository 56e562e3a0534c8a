import Testing
import TorchCheckpoints

@Suite("Key map")
struct KeyMapTests {
    let map: KeyMap = [
        "head.**": nil,
        "blocks.*.attn.rotary": nil,
        "blocks.*.attn.**": "layers.*.attention.**",
        "model.**.weight": "**.kernel",
        "norm": "finalNorm",
    ]

    @Test(arguments: [
        ("blocks.3.attn.qkv.weight", "layers.3.attention.qkv.weight"),
        ("blocks.12.attn.q_bias", "layers.12.attention.q_bias"),
        ("model.a.b.weight", "a.b.kernel"), ("norm", "finalNorm"),
    ])
    func `a name and its inverse are the same name`(_ file: String, _ model: String) {
        #expect(map.destination(ofFileKey: file) == .parameter(model))
        #expect(map.fileKey(ofParameter: model) == file)
    }

    @Test(arguments: ["head.weight", "head.a.b", "blocks.0.attn.rotary"])
    func `names are dropped on purpose only`(_ key: String) {
        #expect(map.destination(ofFileKey: key) == .dropped)
    }

    @Test(arguments: [
        "", "head", "blocks.0.mlp.weight", "blocks.0.attn", "blocks..attn", "model.weight", "norm.weight", "normal",
    ])
    func `other names are unknown`(_ key: String) {
        #expect(map.destination(ofFileKey: key) == .unknown)
    }

    @Test func `a parameter whose file name would be dropped has no file name`() {
        #expect(map.fileKey(ofParameter: "layers.0.attention.rotary") == nil)
        #expect(map.fileKey(ofParameter: "elsewhere") == nil)
    }

    @Test func `the identity keeps every name`() {
        for key in ["a", "a.b.c", "a..b"] {
            #expect(KeyMap.identity.destination(ofFileKey: key) == .parameter(key))
            #expect(KeyMap.identity.fileKey(ofParameter: key) == key)
        }
    }

    @Test func `maps are tried one after the other`() {
        let both = map.followed(by: .identity)
        #expect(both.destination(ofFileKey: "head.weight") == .dropped)
        #expect(both.destination(ofFileKey: "other.weight") == .parameter("other.weight"))
    }

    @Test func `entries for a file name every parameter or throw`() throws {
        let entries = try map.fileEntries(of: [(name: "finalNorm", value: 1), (name: "a.kernel", value: 2)])
        #expect(entries.map(\.0) == ["norm", "model.a.weight"])
        #expect(entries.map(\.1) == [1, 2])
        let error = #expect(throws: CheckpointError.self) {
            try map.fileEntries(of: [(name: "x", value: 1), (name: "y", value: 2), (name: "finalNorm", value: 3)])
        }
        #expect(error?.description.contains("2 parameters") == true)
        #expect(error?.description.contains("'x', 'y'") == true)
    }
}
