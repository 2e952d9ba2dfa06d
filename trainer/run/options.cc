// The command line of a training.
#include "trainer/run/data_flags.h"
#include "trainer/run/run.h"

namespace trainer {
namespace {

std::string CheckSide(const int& side) {
  return side == 0 || IsTrainingSide(side) ? "" : "must be a multiple of 32 from 64 to 4096, or 0";
}

}  // namespace

bool IsTrainingSide(int side) { return side >= 64 && side <= 4096 && side % 32 == 0; }

void AddFlags(RunOptions* options, serving::FlagTable* flags) {
  AddDataFlags(&options->data,
               "Which classes, in which order; empty: all that the annotations have. What the "
               "checkpoint knows of them by name is kept.",
               flags);
  flags->Required("from", &options->from,
                  "The checkpoint that is fine-tuned: an RTMDet or RTMDet-Ins of MMDetection.");
  flags->Required("out", &options->out,
                  "The folder for best.pth, last.pth, report.md and what is needed to go on after "
                  "an interruption; made if it is missing.");
  flags->Add("report_of", &options->report_of,
             "Which model report.md describes: best, best.pth with the images that it gets most "
             "wrong; last, last.pth without images, for a report that goes where they don't.",
             serving::OneOf({"best", "last"}));
  flags->Add("epochs", &options->plan.epochs,
             "Passes over the training images; 0: 40, more for less than 144 images, 300 for more "
             "than 10000.",
             serving::InRange(0, 100000));
  flags->Add(
      "plain_epochs", &options->plain_epochs,
      "The last epochs, which do without mosaic and mixup; -1: an eighth of them, more for less "
      "than 144 images (a half for 36 and less), a fifteenth for more than 10000.",
      serving::InRange(-1, 100000));
  flags->Add("batch", &options->plan.batch, "Images a step; 0: 4, 32 for more than 10000 images.",
             serving::InRange(0, 1024));
  flags->Add("accumulation", &options->accumulation,
             "So many steps are one step of the optimizer, as mmengine's accumulative_counts: its "
             "gradient is of so many batches, in the memory of one. Batch norm sees one batch, and "
             "the learning rate stays --lr, which doesn't count them.",
             serving::InRange(1, 1024));
  flags->Add("lr", &options->plan.learning_rate, "The learning rate; 0: 0.004 * --batch / 256.",
             serving::InRange(0.0, 10.0));
  flags->Add("new_class_lr", &options->plan.new_class_learning_rate,
             "The learning rate of what tells the classes apart, for the classes that the "
             "checkpoint doesn't know and that begin from nothing; 0: 0.004, --lr for more than "
             "10000 images. The others' is --lr.",
             serving::InRange(0.0, 10.0));
  flags->Add("frozen_stages", &options->frozen_stages,
             "How much of the backbone stays as it is, by mmdet's numbers: -1 nothing, 0 the stem, "
             "4 all; auto: 4, -1 for more than 10000 images.",
             serving::OneOf({"auto", "-1", "0", "1", "2", "3", "4"}));
  flags->Add("input_size", &options->input_size,
             "Side of the square that images are learned from and found in; 0: the model's.",
             CheckSide);
  flags->Add(
      "patience", &options->patience,
      "The training ends after so many evaluations without a better AP in its last eighth, "
      "or in the plain epochs that --plain_epochs says (without any, in its second half); 0: "
      "never.",
      serving::InRange(0, 100000));
  flags->Add("save_minutes", &options->save_minutes,
             "The state is saved after each evaluation, and after so many minutes at the latest.",
             serving::InRange(1, 10000));
  flags->Add("threads", &options->threads, "Compute threads; 0: as many as the process has CPUs.",
             serving::InRange(0, 1024));
  flags->Add("device", &options->device, "What computes: cpu.");
  flags->Add("precision", &options->precision, "The arithmetic: fp32.", serving::OneOf({"fp32"}));
  flags->Add("seed", &options->seed, "Everything that is random follows from this number.");
  flags->Add("resume", &options->resume,
             "Go on with the training in --out if it is the same; --noresume: begin anew, which "
             "removes it.");
  flags->Add("json", &options->json, "One JSON object a line on stdout, as in --out's log.jsonl.");
}

}  // namespace trainer
