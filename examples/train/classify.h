#pragma once
// A trained classifier by its file alone: classes, picture size and colours are in it.
#include <cstdio>

#include "examples/data/stats.h"
#include "examples/train/classifier.h"
#include "models/pretrained/pretrained.h"

namespace demi::examples {

struct ClassifyOptions {
    std::string model, key, precision = "f32", boundary = "off", device = "auto";
    int64_t heads = 0, image_size = 0, batch = 32;
    bool ignore_crc = false;
};
// Their flags.
void add_classify_options(CLI::App& app, ClassifyOptions& options);

// A network read from a file of train_vit, or of Hugging Face's or timm's classifiers: the backbone, and a linear layer
// on [class token, mean of the patch tokens] or on the class token.
struct LoadedClassifier {
    Classifier model;
    bool has_head = false, named = false, upright = true;  // named: the file says what its classes are called
    std::vector<std::string> classes;  // "0", "1", ... where it does not; empty without a head
    data::ChannelStats stats;
    int64_t image_size = 0, channels = 3;
    ForwardContext context;
    Device device;
    std::string description;  // of what was found and guessed, for the user
};
LoadedClassifier load_classifier(const ClassifyOptions& options);

struct PredictOptions : ClassifyOptions {
    std::vector<std::string> pictures;  // files, and folders of them
    int64_t top = 5;
    bool json = false;
};
// One line per picture; 1 where a picture could not be read (the others are done all the same).
int predict(const PredictOptions& options, std::FILE* out = stdout);

struct EvaluateOptions : ClassifyOptions {
    std::string data, split;  // split: train, test, or "" for the test part where the data has one, else all
    bool knn = false, linear = false, classes = false, skip_broken = false;
};
// Accuracy of the classifier; of the features by nearest neighbours and a linear layer, which learn from the training part.
int evaluate(const EvaluateOptions& options, std::FILE* out = stdout);

}  // namespace demi::examples
