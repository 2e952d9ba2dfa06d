// How the process's memory is kept between two steps of a training.
#ifndef DUET_NN_HEAP_H_
#define DUET_NN_HEAP_H_

namespace nn {

// From now on malloc keeps what is freed, for the life of the process. Every step of a training
// asks for the same hundreds of megabytes and frees them; as large blocks they would come from the
// system each time, which clears every page first: a tenth of the processor's time. For programs
// that train, not for services, whose memory is to fall again. Call it before other threads are
// started.
void KeepFreedMemory();

}  // namespace nn

#endif  // DUET_NN_HEAP_H_
