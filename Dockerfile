# docker build -t adsynflow .                                        for CPUs
# docker build -t adsynflow --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu128 .      for CUDA (run with --gpus=all)
# docker run -v "$PWD/runs:/home/runs" -v "$PWD/data:/home/data" adsynflow lottery --dataset=digits
FROM python:3.11-slim
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
COPY . /opt/adsynflow
WORKDIR /opt/adsynflow
RUN pip install --no-cache-dir --index-url "$TORCH_INDEX" --extra-index-url https://pypi.org/simple \
        --constraint constraints.txt torch torchvision \
    && pip install --no-cache-dir --constraint constraints.txt '.[plot]'
WORKDIR /home
ENTRYPOINT ["adsynflow"]
