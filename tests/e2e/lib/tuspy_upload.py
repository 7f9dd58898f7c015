"""One upload by tuspy, as the order in the environment says; prints what became of it as JSON."""

import json
import os

from tusclient import client

order = json.loads(os.environ["TUSPY_ORDER"])
tus = client.TusClient(order["endpoint"], headers={"Authorization": f"Bearer {order['token']}"})
uploader = tus.uploader(
    order["file"],
    chunk_size=order["chunk"],
    metadata={"title": order["title"]},
    url=order["url"],
    retries=40,
    retry_delay=0.25,
    upload_checksum=order["checksum"],
)
began_at = uploader.offset
uploader.upload(stop_at=order["stopAt"])
print(json.dumps({"url": uploader.url, "began_at": began_at, "offset": uploader.offset}))
