"""A stand-in for ECR and ECS that pages and answers as they do, each call after a delay.

Only what `cargo xtask du` and `cargo xtask prune --registry --dry-run` ask. Answers are made
once, before the first call, so that what is measured is the client.
"""

import asyncio
import collections
import json
import time

ACCOUNT = "123456789012"
REGION = "eu-central-1"
REGISTRY = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"
REPOSITORY = "app"
CLUSTER = "app"

# What one call takes at most (Amazon ECR and ECS API references).
IMAGES_A_PAGE = 1000
MANIFESTS_A_CALL = 100
SERVICES_A_CALL = 10
TASKS_A_CALL = 100
ARNS_A_PAGE = 100

OCI = "application/vnd.oci.image"
DAY = 86_400


def digest(kind, number):
    """A digest that is the same in every run."""
    return f"sha256:{kind:08x}{number:056x}"


class Repository:
    """Pushes of an index with two platforms and an attestation of each: five images a push."""

    EACH = 5

    def __init__(self, images, layers=12):
        self.pushes = images // self.EACH
        self.details = []
        self.manifests = {}
        now = int(time.time())
        for push in range(self.pushes):
            at = now - (self.pushes - push) * 3600
            children = []
            for platform, architecture in enumerate(("amd64", "arm64")):
                image = digest(1 + platform, push)
                # The lower layers change with every tenth push, the upper ones with each.
                blobs = [
                    self.layer(platform, layer, push // 10 if layer < layers - 3 else push)
                    for layer in range(layers)
                ]
                self.add(image, f"{OCI}.manifest.v1+json", at, [], {
                    "config": self.blob(f"{OCI}.config.v1+json", digest(11, push * 2 + platform), 7_000),
                    "layers": blobs,
                })
                children.append({**self.blob(f"{OCI}.manifest.v1+json", image, 2_000),
                                 "platform": {"os": "linux", "architecture": architecture}})
            for platform in range(2):
                attestation = digest(3 + platform, push)
                statement = self.blob("application/vnd.in-toto+json", digest(21, push * 2 + platform), 20_000)
                self.add(attestation, f"{OCI}.manifest.v1+json", at, [], {
                    "config": self.blob(f"{OCI}.config.v1+json", digest(22, push * 2 + platform), 200),
                    "layers": [statement],
                })
                children.append({
                    **self.blob(f"{OCI}.manifest.v1+json", attestation, 800),
                    "platform": {"os": "unknown", "architecture": "unknown"},
                    "annotations": {
                        "vnd.docker.reference.type": "attestation-manifest",
                        "vnd.docker.reference.digest": digest(1 + platform, push),
                    },
                })
            # Of ten pushes nine lost their tag: they are what a prune finds.
            tags = [f"git-{push:012x}"] if push % 10 == 0 else []
            self.add(self.index(push), f"{OCI}.index.v1+json", at, tags, {"manifests": children})

    @staticmethod
    def index(push):
        return digest(5, push)

    @staticmethod
    def blob(media_type, name, size):
        return {"mediaType": media_type, "digest": name, "size": size}

    def layer(self, platform, layer, version):
        name = digest(100 + platform * 100 + layer, version)
        return self.blob(f"{OCI}.layer.v1.tar+zstd", name, 1_000_000 * (layer + 1))

    def add(self, name, media_type, at, tags, manifest):
        text = json.dumps({"schemaVersion": 2, "mediaType": media_type, **manifest})
        self.manifests[name] = text
        self.details.append({
            "registryId": ACCOUNT, "repositoryName": REPOSITORY, "imageDigest": name,
            "imageTags": tags, "imageSizeInBytes": 78_000_000, "imagePushedAt": at,
            "imageManifestMediaType": media_type,
        })


class Answers:
    """The answers, by operation."""

    def __init__(self, images, revisions, a_family):
        self.repository = Repository(images)
        self.families = revisions // a_family
        self.a_family = a_family
        details = self.repository.details
        pages = [details[at:at + IMAGES_A_PAGE] for at in range(0, len(details), IMAGES_A_PAGE)]
        self.pages = [
            json.dumps({"imageDetails": page, **({"nextToken": str(n + 1)} if n + 1 < len(pages) else {})})
            for n, page in enumerate(pages)
        ]
        self.images = {
            name: json.dumps({
                "registryId": ACCOUNT, "repositoryName": REPOSITORY,
                "imageId": {"imageDigest": name}, "imageManifest": text,
            })
            for name, text in self.repository.manifests.items()
        }

    @staticmethod
    def arn(name):
        return f"arn:aws:ecs:{REGION}:{ACCOUNT}:{name}"

    def definition(self, family, revision):
        return self.arn(f"task-definition/family-{family}:{revision}")

    def page(self, request, key, arns):
        start = int(request.get("nextToken") or 0)
        size = min(request.get("maxResults") or ARNS_A_PAGE, ARNS_A_PAGE)
        answer = {key: arns[start:start + size]}
        if start + size < len(arns):
            answer["nextToken"] = str(start + size)
        return json.dumps(answer)

    def answer(self, operation, request):
        return getattr(self, operation)(request)

    def DescribeRepositories(self, request):
        name = f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/{REPOSITORY}"
        repository = {"repositoryName": REPOSITORY, "repositoryArn": name,
                      "registryId": ACCOUNT, "imageTagMutability": "MUTABLE"}
        return json.dumps({"repositories": [repository]})

    def GetLifecyclePolicy(self, request):
        rule = {"rulePriority": 1, "action": {"type": "expire"}, "selection": {
            "tagStatus": "untagged", "countType": "sinceImagePushed", "countUnit": "days",
            "countNumber": 14}}
        return json.dumps({"lifecyclePolicyText": json.dumps({"rules": [rule]})})

    def DescribeImages(self, request):
        assert request["maxResults"] <= IMAGES_A_PAGE
        return self.pages[int(request.get("nextToken") or 0)]

    def BatchGetImage(self, request):
        ids = request["imageIds"]
        assert len(ids) <= MANIFESTS_A_CALL
        images = ",".join(self.images[id["imageDigest"]] for id in ids)
        return f'{{"images":[{images}],"failures":[]}}'

    def DescribeClusters(self, request):
        cluster = {"clusterName": CLUSTER, "status": "ACTIVE", "clusterArn": self.arn("cluster/app")}
        return json.dumps({"clusters": [cluster], "failures": []})

    def ListServices(self, request):
        arns = [self.arn(f"service/app/service-{n}") for n in range(self.families)]
        return self.page(request, "serviceArns", arns)

    def DescribeServices(self, request):
        assert len(request["services"]) <= SERVICES_A_CALL
        services = []
        for arn in request["services"]:
            family = int(arn.rsplit("-", 1)[1])
            current = self.definition(family, self.a_family)
            services.append({
                "serviceArn": arn, "serviceName": f"service-{family}", "taskDefinition": current,
                "deployments": [{"id": "ecs-svc/1", "status": "PRIMARY", "taskDefinition": current}],
            })
        return json.dumps({"services": services, "failures": []})

    def ListTasks(self, request):
        # Two tasks of each service run, one stopped within the hour.
        of = range(2) if request["desiredStatus"] == "RUNNING" else range(2, 3)
        arns = [self.arn(f"task/app/{family}-{n}") for family in range(self.families) for n in of]
        return self.page(request, "taskArns", arns)

    def ListClusters(self, request):
        return json.dumps({"clusterArns": [self.arn("cluster/app")]})

    def ListServiceDeployments(self, request):
        return json.dumps({"serviceDeployments": []})

    def DescribeTasks(self, request):
        assert len(request["tasks"]) <= TASKS_A_CALL
        tasks = []
        for arn in request["tasks"]:
            family, n = map(int, arn.rsplit("/", 1)[1].split("-"))
            tasks.append({
                "taskArn": arn, "lastStatus": "STOPPED" if n == 2 else "RUNNING",
                "taskDefinitionArn": self.definition(family, self.a_family),
                "containers": [{"image": self.image(family, self.a_family),
                                "imageDigest": self.repository.index(self.push(family, self.a_family))}],
            })
        return json.dumps({"tasks": tasks, "failures": []})

    def ListTaskDefinitions(self, request):
        family = int(request["familyPrefix"].rsplit("-", 1)[1])
        arns = [self.definition(family, revision) for revision in range(self.a_family, 0, -1)]
        return self.page(request, "taskDefinitionArns", arns)

    def push(self, family, revision):
        return (family * self.a_family + revision) % self.repository.pushes

    def image(self, family, revision):
        return f"{REGISTRY}/{REPOSITORY}@{self.repository.index(self.push(family, revision))}"

    def DescribeTaskDefinition(self, request):
        name = request["taskDefinition"].rsplit("/", 1)[1]
        family, revision = map(int, name.removeprefix("family-").split(":"))
        container = {"name": "app", "image": self.image(family, revision), "essential": True}
        sidecar = {"name": "agent", "image": "public.ecr.aws/agent/agent:1", "essential": False}
        return json.dumps({"taskDefinition": {
            "taskDefinitionArn": request["taskDefinition"], "family": f"family-{family}",
            "revision": revision, "status": "ACTIVE", "containerDefinitions": [container, sidecar],
        }})


class Bucket:
    """Tokens for a group of operations: so many at once, so many more every second."""

    def __init__(self, burst, refill):
        self.burst, self.refill = burst, refill
        self.tokens, self.at = burst, time.monotonic()

    def take(self):
        now = time.monotonic()
        self.tokens = min(self.burst, self.tokens + (now - self.at) * self.refill)
        self.at = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


class StandIn:
    """Serves the answers over HTTP, each after `delay` seconds."""

    def __init__(self, answers, delay, limits=None):
        self.answers, self.delay = answers, delay
        self.buckets = {name: Bucket(*limit) for name, limit in (limits or {}).items()}
        self.calls = []
        self.throttled = collections.Counter()
        self.now = self.most = 0

    async def start(self):
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0, limit=1 << 20)
        return server, server.sockets[0].getsockname()[1]

    async def serve(self, reader, writer):
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                fields = dict(
                    (name.lower(), value)
                    for name, _, value in (line.partition(": ") for line in head.split("\r\n")[1:])
                )
                body = await reader.readexactly(int(fields.get("content-length", 0)))
                status, kind, text = await self.answer(fields, body)
                writer.write(
                    f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(text)}\r\n\r\n"
                    .encode() + text
                )
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def answer(self, fields, body):
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(self.delay)
        self.now -= 1
        target = fields.get("x-amz-target")
        if target is None:
            identity = f"<GetCallerIdentityResult><Account>{ACCOUNT}</Account></GetCallerIdentityResult>"
            text = f"<GetCallerIdentityResponse>{identity}</GetCallerIdentityResponse>"
            self.calls.append(("GetCallerIdentity", body))
            return 200, "text/xml", text.encode()
        operation = target.rsplit(".", 1)[1]
        bucket = self.buckets.get(operation)
        if bucket and not bucket.take():
            self.throttled[operation] += 1
            text = json.dumps({"__type": "ThrottlingException", "message": "Rate exceeded"})
            return 400, "application/x-amz-json-1.1", text.encode()
        self.calls.append((target, body))
        text = self.answers.answer(operation, json.loads(body))
        return 200, "application/x-amz-json-1.1", text.encode()
