"""The plain Keras script that the question is about, without normsweep.

    python examples/original_script.py               raw pixels, 0 to 255
    python examples/original_script.py --normalize   the same after X_train /= 255; X_test /= 255

MNIST is read from the folder NORMSWEEP_DATA if it is set; otherwise Keras downloads it.

Results of one run each, without a fixed seed, on a 2-core CPU without a GPU, while other work ran
(TensorFlow 2.21, Keras 3.15). NORMSWEEP_DATA had the published images and labels, except that the
images of each digit were ordered differently among themselves: the last 20 % is a mix of all digits,
as in the published file, but not the same 12,000 images.

                            validation accuracy after epoch     test
    command                      1       2       3       4     accuracy   wall time
    original_script.py        0.9721  0.9778  0.9779  0.9813    0.9838      8 min
    ... --normalize           0.9813  0.9868  0.9878  0.9895    0.9901      7 min
"""

import os
import sys

import numpy as np
from keras import Input, Sequential
from keras.datasets import mnist
from keras.layers import Conv2D, Dense, Flatten, MaxPooling2D
from keras.utils import to_categorical

if "NORMSWEEP_DATA" in os.environ:
    data = np.load(os.path.join(os.environ["NORMSWEEP_DATA"], "mnist.npz"))
    X_train, y_train, X_test, y_test = (data[k] for k in ("x_train", "y_train", "x_test", "y_test"))
else:
    (X_train, y_train), (X_test, y_test) = mnist.load_data()

X_train = X_train.reshape(-1, 28, 28, 1).astype("float32")
X_test = X_test.reshape(-1, 28, 28, 1).astype("float32")
if "--normalize" in sys.argv:
    X_train /= 255
    X_test /= 255
y_train = to_categorical(y_train, 10)
y_test = to_categorical(y_test, 10)

model = Sequential()
model.add(Input((28, 28, 1)))
model.add(Conv2D(20, kernel_size=5, padding="same", activation="relu"))
model.add(MaxPooling2D(pool_size=(2, 2), strides=(2, 2)))
model.add(Conv2D(50, kernel_size=5, padding="same", activation="relu"))
model.add(MaxPooling2D(pool_size=(2, 2), strides=(2, 2)))
model.add(Flatten())
model.add(Dense(500, activation="relu"))
model.add(Dense(10, activation="softmax"))
model.compile(loss="categorical_crossentropy", optimizer="adam", metrics=["accuracy"])

model.fit(X_train, y_train, batch_size=128, epochs=4, verbose=2, validation_split=0.2)
loss, accuracy = model.evaluate(X_test, y_test, verbose=0)
print(f"Test loss: {loss:.4f}")
print(f"Test accuracy: {accuracy:.4f}")
