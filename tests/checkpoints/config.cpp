// SMP's config.json: what is written is what save_pretrained writes; what is read, what is refused.
#include "models/config.h"

#include "tests/checkpoints/files.h"

namespace fjord::test {

namespace {

// Written by save_pretrained of smp.Unet("resnet34", encoder_weights=None), SMP 0.6.0.
constexpr const char* kSaved = R"({
  "_model_class": "Unet",
  "activation": null,
  "aux_params": null,
  "classes": 1,
  "decoder_attention_type": null,
  "decoder_channels": [
    256,
    128,
    64,
    32,
    16
  ],
  "decoder_interpolation": "nearest",
  "decoder_use_norm": "batchnorm",
  "encoder_depth": 5,
  "encoder_name": "resnet34",
  "encoder_weights": null,
  "in_channels": 3
})";

void refused(std::string_view text, std::string_view rest) {
  const Caught error = caught([&] { parse_smp_config("c.json", std::string(text)); });
  CAPTURE(text);
  CHECK(error.exit == 4);
  CHECK(error.line == fmt::format("error[E-config] c.json - {}", rest));
}

}  // namespace

TEST_CASE("config.json is written as SMP writes it") { CHECK(smp_config({}) == kSaved); }

TEST_CASE("options survive config.json and metadata") {
  const ModelOptions options{.encoder = "resnet18",
                             .in_channels = 4,
                             .classes = 6,
                             .encoder_depth = 3,
                             .decoder_channels = {64, 32, 16}};
  const ModelConfig config = parse_smp_config("c.json", smp_config(options));
  CHECK(config.notes.empty());
  const std::optional<ModelOptions> metadata = model_options("m", model_metadata(options));
  REQUIRE(metadata.has_value());
  for (const ModelOptions& read : {config.options, *metadata}) {
    CHECK(read.arch == "unet");
    CHECK(read.encoder == "resnet18");
    CHECK(read.in_channels == 4);
    CHECK(read.classes == 6);
    CHECK(read.encoder_depth == 3);
    CHECK(read.decoder_channels == std::vector<int>{64, 32, 16});
  }
  CHECK(!model_options("m", {{"format", "pt"}}).has_value());
}

TEST_CASE("SMP's own name of a ResNeSt is an alias") {
  CHECK(parse_smp_config("c.json", R"({"_model_class":"Unet","encoder_name":"tu-resnest14d"})")
            .options.encoder == "timm-resnest14d");
}

TEST_CASE("what has no effect is noted") {
  CHECK(parse_smp_config("c.json", R"({"activation":"sigmoid","dropout":0.5,"_x":1})").notes ==
        std::vector<std::string>{"c.json: activation \"sigmoid\" of masks is kept for exports: "
                                 "outputs of fjord are logits",
                                 "c.json: 'dropout' is not known and has no effect",
                                 "c.json: no '_model_class', taken for Unet"});
  CHECK(parse_smp_config("c.json", R"({"_model_class":"Unet","decoder_use_batchnorm":true})")
            .notes.empty());
}

TEST_CASE("wrong and unsupported values are refused") {
  refused("{", "not valid JSON (byte 2) - correct the file");
  refused("[]", "not a JSON object - correct the file");
  refused(std::string(1'000'001, ' '), "longer than 1000000 bytes - save it again");
  refused(R"({"classes":1,"classes":2})", "'classes' is given twice - correct the file");
  refused(R"({"classes":-1})",
          "'classes' is -1, expected a whole number from 1 to 65536 - correct the file");
  refused(R"({"classes":1.5})",
          "'classes' is 1.5, expected a whole number from 1 to 65536 - correct the file");
  refused(R"({"in_channels":18446744073709551616})",
          "'in_channels' is 1.8446744073709552e+19, expected a whole number from 1 to 65536 - "
          "correct the file");
  refused(R"({"encoder_depth":6})",
          "'encoder_depth' is 6, expected a whole number from 3 to 5 - correct the file");
  refused(R"({"decoder_channels":"\u001b[2J"})",
          R"('decoder_channels' is "\u001b[2J", expected a list of numbers - correct the file)");
  refused(R"({"decoder_channels":[64,32,16]})",
          "'decoder_channels' has 3 numbers for an 'encoder_depth' of 5 - correct the file");
  refused(R"({"decoder_attention_type":"se"})",
          "'decoder_attention_type' is \"se\", which this build does not have; it has scse - use a "
          "model of one of these");
  refused(
      R"({"aux_params":{"pooling":"avg"}})",
      "'aux_params' is {\"pooling\":\"avg\"}, expected its number of 'classes' - correct the file");
  refused(R"({"aux_params":{"classes":2,"dropout":1}})",
          "'dropout' is 1, expected a number from 0 to below 1 - correct the file");
  refused(R"({"aux_params":{"classes":2,"hidden":3}})",
          "'aux_params' has 'hidden', which SMP's head does not have - correct the file");
  refused(R"({"decoder_use_norm":"layernorm"})",
          "'decoder_use_norm' is \"layernorm\", which this build does not have; it has batchnorm, "
          "identity, instancenorm - use a model of one of these");
  refused(R"({"decoder_use_norm":{"type":"batchnorm","eps":0.1}})",
          "'decoder_use_norm' is {\"eps\":0.1,\"type\":\"batchnorm\"}, fjord builds "
          "\"batchnorm\" only - use a model of that");
  refused(R"({"decoder_use_norm":"instancenorm"})",
          "'decoder_use_norm' is {\"type\":\"instancenorm\"}, fjord builds "
          "{\"type\":\"instancenorm\",\"affine\":true} only - use a model of that");
  refused(R"({"decoder_interpolation":"linear"})",
          "'decoder_interpolation' is \"linear\", which this build does not have; it has nearest, "
          "nearest-exact, bilinear, bicubic, area - use a model of one of these");
  refused(R"({"activation":"Sigmoid"})",
          "'activation' is \"Sigmoid\", which this build does not have; it has identity, sigmoid, "
          "softmax, softmax2d, logsoftmax, tanh, argmax, argmax2d, clamp - use a model of one of "
          "these");
  refused(R"({"aux_params":{"classes":2,"activation":false}})",
          "'activation' is false, which this build does not have; it has identity, sigmoid, "
          "softmax, softmax2d, logsoftmax, tanh, argmax, argmax2d, clamp - use a model of one of "
          "these");
  const Caught error = caught([] { parse_smp_config("c.json", R"({"_model_class":"Nothing"})"); });
  CHECK(error.exit == 4);
  CHECK(error.line.starts_with(
      "error[E-config] c.json - '_model_class' is \"nothing\", which this build does not have; it "
      "has unet"));
  CHECK(caught([] { read_smp_config("/nonexistent/config.json"); }).exit == 5);
}

TEST_CASE("a decoder's options go into config.json and come back") {
  ModelOptions options{.arch = "unetplusplus", .encoder = "efficientnet-b0"};
  options.attention = Attention::scse;
  options.interpolation = Interpolation::bicubic;
  options.decoder_norm = DecoderNorm::identity;
  const ModelOptions read = parse_smp_config("c.json", smp_config(options)).options;
  CHECK(read.arch == options.arch);
  CHECK(read.encoder == options.encoder);
  CHECK(read.attention == options.attention);
  CHECK(read.interpolation == options.interpolation);
  CHECK(read.decoder_norm == options.decoder_norm);
  CHECK(parse_smp_config("c.json", R"({"decoder_use_norm":false})").options.decoder_norm ==
        DecoderNorm::identity);
  options.decoder_norm = DecoderNorm::instance;
  options.classification = {.classes = 4, .pooling = Pooling::max, .dropout = 0.5};
  const ModelOptions again = parse_smp_config("c.json", smp_config(options)).options;
  CHECK(again.decoder_norm == DecoderNorm::instance);
  REQUIRE(again.classification);
  CHECK(again.classification->classes == 4);
  CHECK(again.classification->pooling == Pooling::max);
  CHECK(again.classification->dropout == 0.5);
  const std::string linknet = smp_config({.arch = "linknet", .encoder_depth = 4});
  CHECK(linknet.find("decoder_channels") == linknet.npos);  // SMP's Linknet has no such argument
  CHECK(parse_smp_config("c.json", linknet).options.encoder_depth == 4);
}

TEST_CASE("an activation is kept for exports, in config.json and in metadata") {
  for (const std::string name :
       {"sigmoid", "softmax", "softmax2d", "logsoftmax", "tanh", "argmax", "argmax2d", "clamp"}) {
    const std::string text = fmt::format(
        R"({{"_model_class":"Unet","activation":"{}","aux_params":{{"activation":"{}","classes":2}}}})",
        name, name);
    const ModelConfig config = parse_smp_config("c.json", text);
    CHECK(config.notes.size() == 2);
    CHECK(config.options.activation != FinalActivation::none);
    CHECK(config.options.classification->activation == config.options.activation);
    const ModelOptions again = *model_options("m", model_metadata(config.options));
    CHECK(again.activation == config.options.activation);
    const std::string written = smp_config(again), line = "\"activation\": \"" + name + "\"";
    CHECK(written.find(line) != written.npos);
    CHECK(written.rfind(line) != written.find(line));
  }
  const ModelConfig none =
      parse_smp_config("c.json", R"({"_model_class":"Unet","activation":"identity"})");
  CHECK(none.notes.empty());
  CHECK(smp_config(none.options) == kSaved);
}

namespace {

bool accepts(const ModelOptions& options) {
  try {
    validate(options);
    return true;
  } catch (const Error&) {
    return false;
  }
}

}  // namespace

TEST_CASE("every option that an architecture accepts is there again after saving") {
  int accepted = 0;
  for (const std::string_view arch : architecture_names())
    for (const Attention attention : {Attention::none, Attention::scse})
      for (const Interpolation interpolation : {Interpolation::nearest, Interpolation::bicubic})
        for (const DecoderNorm norm : {DecoderNorm::batchnorm, DecoderNorm::identity})
          for (const auto& channels : {default_channels(4), std::vector<int>{96, 48, 32, 16}}) {
            const ModelOptions made{.arch = std::string(arch),
                                    .encoder_depth = 4,
                                    .decoder_channels = channels,
                                    .attention = attention,
                                    .interpolation = interpolation,
                                    .decoder_norm = norm};
            if (!accepts(made)) continue;
            ++accepted;
            const ModelConfig config = parse_smp_config("c.json", smp_config(made));
            CAPTURE(smp_config(made));
            CHECK(config.notes.empty());
            CHECK(config.options.arch == made.arch);
            CHECK(config.options.attention == made.attention);
            CHECK(config.options.interpolation == made.interpolation);
            CHECK(config.options.decoder_norm == made.decoder_norm);
            CHECK(config.options.decoder_channels == made.decoder_channels);
          }
  CHECK(accepted == 16 + 16 + 8 + 2);  // unet, unetplusplus, manet, linknet
}

TEST_CASE("a config's options that its class does not have are noted and left") {
  const ModelConfig config = parse_smp_config(
      "c.json",
      R"({"_model_class":"Linknet","decoder_attention_type":"scse","decoder_channels":[9,9,9,9,9]})");
  CHECK(config.notes ==
        std::vector<std::string>{"c.json: 'decoder_attention_type' has no effect on linknet",
                                 "c.json: 'decoder_channels' has no effect on linknet"});
  CHECK(accepts(config.options));
}

}  // namespace fjord::test
